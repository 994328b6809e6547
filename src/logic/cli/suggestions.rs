//! Guesses which known word a misspelled one means.

use crate::logic::base::text::split_byte;

/// The word of a comma-separated list that is nearest to `word`: it differs by at most two changes, or begins with
/// `word`. Case is ignored. None if no word is so near, or if `word` has fewer than three letters.
pub fn nearest<'a>(word: &[u8], known: &'a [u8]) -> Option<&'a [u8]> {
    // A word of 3 to 5 letters may differ by one change, a longer one by two. More changes could turn a short word into
    // any other.
    for changes in 1..=word.len().min(8) / 3 {
        if let Some(found) = split_byte(known, b',').find(|other| differs_by_at_most(word, other, changes)) {
            return Some(found);
        }
    }
    let begins = |other: &&[u8]| other.get(..word.len()).is_some_and(|begin| eq_ignore_case(begin, word));
    split_byte(known, b',').find(begins).filter(|_| word.len() > 2)
}

/// True if two words are equal, ignoring case. `eq_ignore_ascii_case` of `[u8]` takes more code.
pub fn eq_ignore_case(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.eq_ignore_ascii_case(other))
}

/// True if at most `changes` changes turn one word into the other. A change removes, inserts or replaces a letter, or
/// exchanges two neighbouring letters.
fn differs_by_at_most(one: &[u8], other: &[u8], changes: usize) -> bool {
    let (Some((first, rest)), Some((second, tail))) = (one.split_first(), other.split_first()) else {
        return one.len().max(other.len()) <= changes;
    };
    if first.eq_ignore_ascii_case(second) {
        return differs_by_at_most(rest, tail, changes);
    }
    if changes == 0 {
        return false;
    }
    let exchanged = match (rest, tail) {
        ([third, rest @ ..], [fourth, tail @ ..]) => {
            third.eq_ignore_ascii_case(second)
                && fourth.eq_ignore_ascii_case(first)
                && differs_by_at_most(rest, tail, changes - 1)
        }
        _ => false,
    };
    exchanged
        || differs_by_at_most(rest, tail, changes - 1)
        || differs_by_at_most(rest, other, changes - 1)
        || differs_by_at_most(one, tail, changes - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_no_far_one() {
        let known = b"user,pidfile,root,work-dir,log-size,logdir,TERM,HUP,as,no";
        for (word, meant) in [
            ("usre", Some("user")),
            ("uesr", Some("user")),
            ("users", Some("user")),
            ("pidfil", Some("pidfile")),
            ("pidf", Some("pidfile")),
            ("pid-file", Some("pidfile")),
            ("workdir", Some("work-dir")),
            ("logdri", Some("logdir")),
            ("TREM", Some("TERM")),
            ("HPU", Some("HUP")),
            ("a", None),
            ("", None),
            ("x", None),
            ("fo", None),
            ("nothing", None),
            ("quite-another", None),
        ] {
            assert_eq!(nearest(word.as_bytes(), known), meant.map(str::as_bytes), "{word}");
        }
    }
}
