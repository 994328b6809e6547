//! `VSRUN_ARGS`: options of vsrun for a tool whose command line cannot express them.

use alloc::vec::Vec;

use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::cli::options::Options;
use crate::logic::cli::parse;
use crate::logic::cli::value::leak_copy;
use crate::logic::supervisor::policy::AtExit;

/// Parses the options in the value of `VSRUN_ARGS`.
///
/// # Errors
/// Wrong usage, in one line.
pub(super) fn parse_options_in_variable(
    value: &[u8],
    options: &mut Options,
    at_exit: &mut Option<AtExit>,
) -> Result<()> {
    let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let words: Vec<StaticCStr> = words.map(leak_copy).collect();
    let (result, _) = parse::read_options_and_count_args(&words, options, at_exit);
    let at = |error: Error| error.with_location("VSRUN_ARGS: ");
    let is_other = result.map_err(at)?.is_some() || !options.control.is_empty() || options.probe.is_some();
    if is_other {
        return Err(at(Error::new(Problem::OnlyStart)));
    }
    Ok(())
}
