//! The manual page vsrun(8), around the table of options.

use crate::flags::{Chapter, FLAGS, PARAGRAPHS};
use crate::help;

/// The whole page, in man(7).
pub fn page(version: &str) -> String {
    let _ = (version, FLAGS, PARAGRAPHS, Chapter::Start, help::names);
    String::new()
}
