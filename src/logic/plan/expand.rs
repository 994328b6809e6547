//! `--expand`: replaces variables of the server's environment in the arguments of COMMAND.
//!
//! The syntax is smaller than a shell's, so that its result is predictable: `${NAME}` is the value of NAME;
//! `${NAME:-WORD}` is WORD if NAME is unset or empty (WORD ends at the first `}`, and is literal); and `$$` is a dollar
//! sign. A `$` before any other byte is literal. A value is never expanded again, and never split into words.

use alloc::vec::Vec;

use super::env::Env;
use crate::logic::base::cstr::{StaticCStr, leak_cstr};
use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::base::text::split_byte;

/// A part of an argument of COMMAND.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    /// Bytes without a variable.
    Literal(&'a [u8]),
    /// A variable; `default` is the WORD of `${NAME:-WORD}`.
    Variable { name: &'a [u8], default: Option<&'a [u8]> },
}

/// Splits an argument, which must not be empty, into its first piece and the rest. None if the argument is malformed.
fn split_piece(text: &[u8]) -> Option<(Piece<'_>, &[u8])> {
    let Some(dollar) = text.iter().position(|byte| *byte == b'$') else { return Some((Piece::Literal(text), b"")) };
    let (head, tail) = text.split_at_checked(dollar)?;
    match tail {
        [b'$', b'{', ..] if !head.is_empty() => Some((Piece::Literal(head), tail)),
        [b'$', b'{', tail @ ..] => {
            let mut halves = split_byte(tail, b'}');
            let (inside, rest) = (halves.next()?, halves.rest?);
            let length = inside.iter().position(|byte| !is_name_byte(*byte)).unwrap_or(inside.len());
            let (name, after) = inside.split_at_checked(length)?;
            let default = match after {
                [] => None,
                [b':', b'-', default @ ..] => Some(default),
                _ => return None,
            };
            let is_name = name.first().is_some_and(|first| !first.is_ascii_digit());
            is_name.then_some((Piece::Variable { name, default }, rest))
        }
        // Of two consecutive dollar signs, the second one is dropped. Any other byte after a dollar sign begins the
        // next piece.
        _ => {
            let (literal, rest) = text.split_at_checked(dollar + 1)?;
            Some((Piece::Literal(literal), rest.strip_prefix(b"$").unwrap_or(rest)))
        }
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Checks the syntax of COMMAND's arguments, before vsrun does anything.
///
/// # Errors
/// If an argument is malformed.
pub fn check_syntax(words: &[StaticCStr]) -> Result<()> {
    for word in words {
        let mut rest = word.to_bytes();
        while !rest.is_empty() {
            rest = match split_piece(rest) {
                Some((_, rest)) => rest,
                None => {
                    return Err(Error::of(Problem::MalformedExpansion, word.to_bytes()));
                }
            };
        }
    }
    Ok(())
}

/// Replaces the variables in COMMAND's arguments, which [`check_syntax`] has accepted.
///
/// # Errors
/// If a variable is unset and has no WORD.
pub fn expand(words: &mut [StaticCStr], env: &Env) -> Result<()> {
    for text in words.iter_mut().filter(|text| text.to_bytes().contains(&b'$')) {
        let mut expanded = Vec::new();
        let mut rest = text.to_bytes();
        while let Some((piece, after)) = split_piece(rest).filter(|_| !rest.is_empty()) {
            rest = after;
            let value = match piece {
                Piece::Literal(bytes) => Some(bytes),
                Piece::Variable { name, default } => {
                    let value = env.get(name);
                    default.filter(|_| value.is_none_or(<[u8]>::is_empty)).or(value)
                }
            };
            let Some(value) = value else { return Err(unset_error(piece)) };
            expanded.extend_from_slice(value);
        }
        *text = leak_cstr(expanded);
    }
    Ok(())
}

fn unset_error(piece: Piece<'_>) -> Error {
    let (Piece::Literal(name) | Piece::Variable { name, .. }) = piece;
    Error::of(Problem::UnsetVariable, name).with_name_arg(name).with_name_arg(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> core::result::Result<String, String> {
        let env = Env(vec![c"A=one", c"B_2=two words", c"EMPTY=", c"MONEY=$A ${A} $$", c"_=x"]);
        let mut words = [leak_cstr(text.as_bytes().to_vec())];
        check_syntax(&words).and_then(|()| expand(&mut words, &env)).map_err(|error| error.to_string())?;
        Ok(words[0].to_str().unwrap().to_owned())
    }

    #[test]
    fn both_forms_are_replaced_and_nothing_else() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("${A}", "one"),
            ("-p${A}-${B_2}.", "-pone-two words."),
            ("${A}${A}", "oneone"),
            ("${_}", "x"),
            ("${NO:-else}", "else"),
            ("${NO:-}", ""),
            ("${EMPTY:-else}", "else"),
            ("${EMPTY}", ""),
            ("${A:-else}", "one"),
            ("${NO:-${A}", "${A"),
            ("${NO:-a}b}", "ab}"),
            ("${NO:-$$}", "$$"),
            ("${MONEY}", "$A ${A} $$"),
            ("$$", "$"),
            ("$$$$", "$$"),
            ("$${A}", "${A}"),
            ("$$${A}", "$one"),
            ("$", "$"),
            ("a$", "a$"),
            ("$A $(x) $1 $", "$A $(x) $1 $"),
            ("}{$-", "}{$-"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn malformed_words_are_refused_before_anything_is_done() {
        for text in
            ["${}", "${A", "x${", "${A-x}", "${A:x}", "${1}", "${A B}", "${:-x}", "${A:?x}", "${A}${", "${-}", "$$${"]
        {
            assert!(expanded(text).unwrap_err().contains("is malformed: write ${NAME}"), "{text}");
        }
    }

    #[test]
    fn an_unset_variable_without_a_word_is_an_error_that_names_it() {
        let text = expanded("x${NO}").unwrap_err();
        assert!(text.starts_with("cannot expand '${NO}': ") && text.ends_with("${NO:-WORD})"), "{text}");
    }

    /// Text in which every dollar sign is doubled comes back as it was.
    #[test]
    fn doubled_dollar_signs_make_any_text_literal() {
        let mut state = 1u64;
        for length in 0..200 {
            let text: String = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    char::from(b"${}:-A_1 x"[usize::try_from(state >> 33).unwrap() % 10])
                })
                .collect();
            assert_eq!(expanded(&text.replace('$', "$$")).as_deref(), Ok(text.as_str()));
        }
    }
}
