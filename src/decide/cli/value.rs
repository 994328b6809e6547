//! The value of an option, taken from the parser and stored.

use alloc::vec::Vec;
use std::os::unix::ffi::OsStringExt;

use crate::decide::error::{Error, Result};
use crate::decide::text::Clean;

/// Reads a value from its bytes; None when it is malformed.
pub type Reader<T> = fn(&[u8]) -> Option<T>;

/// Stores the value of an option that may be given once.
///
/// # Errors
/// When it is missing or malformed, or the option is given twice.
pub fn once<T>(
    slot: &mut Option<T>,
    parser: &mut lexopt::Parser,
    name: &str,
    read: Reader<T>,
    not: &str,
) -> Result<()> {
    let bytes = bytes(parser, name)?;
    if slot.is_some() {
        return Err(twice(name));
    }
    *slot = read(&bytes);
    if slot.is_some() { Ok(()) } else { Err(malformed(name, &bytes, not)) }
}

/// The same for an option of two values.
///
/// # Errors
/// When the option is given twice.
pub fn store<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(twice(name)),
    }
}

/// Takes the value of an option that may be given again.
///
/// # Errors
/// When it is missing or malformed.
pub fn value<T>(parser: &mut lexopt::Parser, name: &str, read: Reader<T>, not: &str) -> Result<T> {
    let bytes = bytes(parser, name)?;
    match read(&bytes) {
        Some(value) => Ok(value),
        None => Err(malformed(name, &bytes, not)),
    }
}

// Apart from the above, so that they are in the program once and not once for each type of value.

#[inline(never)]
fn bytes(parser: &mut lexopt::Parser, name: &str) -> Result<Vec<u8>> {
    match parser.value() {
        Ok(value) => Ok(value.into_vec()),
        Err(_) => Err(Error::usage(format_args!("option --{name}: a value is missing"))),
    }
}

#[inline(never)]
fn malformed(name: &str, value: &[u8], not: &str) -> Error {
    Error::usage(format_args!("option --{name}: '{}' {not}", Clean(value)))
}

#[inline(never)]
fn twice(name: &str) -> Error {
    Error::usage(format_args!("option --{name} is given twice"))
}
