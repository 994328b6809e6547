//! Compresses the help texts and the texts of errors to half of their size. build.rs calls this module;
//! `logic::base::packed` decompresses.

use std::collections::BTreeMap;

/// The separator between the parts of the compressed text.
const SEPARATOR: &str = "\x0c\n";

/// Compresses the parts, and returns them with the list of byte pairs that they share.
pub fn packed_parts(parts: &[(&'static str, String)]) -> (Vec<Vec<u8>>, Vec<[u8; 2]>) {
    let texts: Vec<String> = parts.iter().map(|(_, text)| format!("{text}\n{SEPARATOR}")).collect();
    let (packed, pairs) = packed(&texts.concat());
    // A separator is a line of its own, so compression does not touch it.
    let parts = packed.split(|byte| *byte == SEPARATOR.as_bytes()[0]);
    let parts = parts
        .map(|part| part.strip_prefix(b"\n").unwrap_or(part))
        .map(|part| part.strip_suffix(b"\n").unwrap_or(part).to_vec());
    (parts.take(texts.len()).collect(), pairs)
}

/// Byte pair encoding. Returns the text, in which a byte N of 128 and more means the pair with the index N - 128, and
/// the pairs. The columns that the program's parser searches are not compressed.
fn packed(text: &str) -> (Vec<u8>, Vec<[u8; 2]>) {
    assert!(text.is_ascii(), "a byte of 128 and more is a pair");
    // The pieces with odd indices are compressed; the others are what the parser searches.
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    for line in text.split_inclusive('\n') {
        let plain = if line.starts_with('-') { line.match_indices('\t').nth(1).map_or(0, |(at, _)| at) } else { 0 };
        pieces.extend([line[..plain].into(), line[plain..].into()]);
    }
    let mut pairs = Vec::new();
    while pairs.len() < 128 {
        let mut counts = BTreeMap::new();
        for piece in pieces.iter().skip(1).step_by(2) {
            for pair in piece.windows(2).filter(|pair| !pair.iter().any(|byte| b"\n\t".contains(byte))) {
                *counts.entry([pair[0], pair[1]]).or_insert(0) += 1;
            }
        }
        let Some((pair, _)) = counts.into_iter().filter(|(_, count)| *count > 3).max_by_key(|(_, count)| *count) else {
            break;
        };
        let code = u8::try_from(128 + pairs.len()).expect("there are at most 128");
        for piece in pieces.iter_mut().skip(1).step_by(2) {
            let mut at = 0;
            while at + 1 < piece.len() {
                if piece[at..at + 2] == pair {
                    piece.splice(at..at + 2, [code]);
                }
                at += 1;
            }
        }
        pairs.push(pair);
    }
    (pieces.concat(), pairs)
}
