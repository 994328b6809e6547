//! The table of options. The rows of each chapter are in a file of `flags/`; `all_flags!` passes them to a macro.
//!
//! The row of an option is the only place where the option is defined: its documentation, the values that it takes,
//! with examples, and what the parser does with a value.
//!
//! ```text
//! StopDelay "stop-delay" 't' {               name in the code, long name and, if there is one, letter
//!     line: "wait before the stop signal",   line of the help text
//!     manual: "On a request to stop ...",    paragraph of the man page
//!     takes: ["DURATION" "string"],          name and kind of each value; then `repeatable` if it may be repeated
//!     wrong: "is not a duration",            the error's words after a malformed value; not needed with `choices=`
//!     accepts: ["0", "10s"],                 valid values, for the tests
//!     rejects: ["x", "5m": "did you ..."],   malformed values, for the tests; with the error's words if not `wrong`
//!     sets: stop_delay = duration,           what the parser does; see parse/apply_flag.rs
//! }
//! ```
//!
//! A switch takes no value, and needs no `sets`, because the parser keeps the set of all options that are given.
//! `rejects: []` says that no value is malformed except an empty one. In `accepts` and `rejects`, the values of an
//! option that takes two are written side by side.
//!
//! build.rs reads these files too, so they import nothing: the parser imports what `sets` names. build.rs makes the
//! help text, the man page and the completions from the table, so that no second list of options exists.

/// Passes all rows to a macro, in the order of the help text and of the manual's section OPTIONS.
macro_rules! all_flags {
    ($to:ident) => {
        join! {
            [identity jail environment output sockets starting supervising stopping readiness control files help]
            $to
        }
    };
}

/// Calls the macro of the next chapter, which appends its rows to those before it and calls `join!` again.
macro_rules! join {
    ([] $to:ident $($joined:tt)*) => { $to! { $($joined)* } };
    ([$next:ident $($others:ident)*] $($joined:tt)*) => { $next! { join [$($others)*] $($joined)* } };
}

// The paths are explicit because build.rs includes this file too: without them, the compiler would search for the
// modules in another folder there.
#[macro_use]
#[path = "flags/identity.rs"]
mod identity;
#[macro_use]
#[path = "flags/jail.rs"]
mod jail;
#[macro_use]
#[path = "flags/environment.rs"]
mod environment;
#[macro_use]
#[path = "flags/output.rs"]
mod output;
#[macro_use]
#[path = "flags/sockets.rs"]
mod sockets;
#[macro_use]
#[path = "flags/starting.rs"]
mod starting;
#[macro_use]
#[path = "flags/supervising.rs"]
mod supervising;
#[macro_use]
#[path = "flags/stopping.rs"]
mod stopping;
#[macro_use]
#[path = "flags/readiness.rs"]
mod readiness;
#[macro_use]
#[path = "flags/control.rs"]
mod control;
#[macro_use]
#[path = "flags/files.rs"]
mod files;
#[macro_use]
#[path = "flags/help.rs"]
mod help;

/// A value that an option takes.
#[derive(Clone, Copy)]
pub struct Value {
    /// The name of the value in the help text.
    pub name: &'static str,
    /// The kind of the value, for completions: `file`, `dir`, `integer`, `string`, `user`, `command` or `choices=...`.
    pub kind: &'static str,
}

/// The row of an option in the table of options.
pub struct Flag {
    /// The identifier by which the parser refers to the option.
    #[allow(dead_code)]
    pub id: Id,
    /// The chapter in which the help text shows the option.
    pub chapter: Chapter,
    /// The letter of the short name; a blank if there is none.
    pub short: char,
    /// The long name, without the two dashes.
    pub long: &'static str,
    /// The values of the option, in order.
    pub values: &'static [Value],
    /// True for an option with values that may be given more than once.
    pub repeatable: bool,
    /// What the error says about a malformed value, such as `is not a duration`. Empty for an option with `choices=`,
    /// whose error lists the choices.
    pub rejection: &'static str,
    /// The line of the help text that says what the option does.
    pub help_line: &'static str,
}

/// Examples of an option's values, for the tests. Each example has as many values as the option takes.
#[allow(dead_code)]
pub struct Examples {
    /// Values that the parser accepts.
    pub accepted: &'static [&'static [&'static str]],
    /// Values that the parser rejects, each with a text that the error must contain. If this text is empty, the error
    /// contains the option's `rejection`.
    pub rejected: &'static [(&'static [&'static str], &'static str)],
}

macro_rules! table {
    ($(
        #[$doc:meta]
        $chapter:ident $title:literal { $(
            $id:ident $long:literal $($short:literal)? {
                line: $line:literal,
                manual: $($text:literal)+,
                $(
                    takes: [$($name:literal $kind:literal),+] $($repeatable:ident)?,
                    $(wrong: $not:literal,)?
                    accepts: [$($($accepted:literal)+),+ $(,)?],
                    rejects: [$($($rejected:literal)+ $(: $says:literal)?),* $(,)?],
                )?
                $(sets: $($set:tt)+)?
            }
        )+ }
    )+) => {
        /// The identifiers of all options, in the order of the table.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Id {
            $($(#[doc = concat!("`--", $long, "`.")] $id,)+)+
        }

        /// A group of options in the help text and in the manual's section OPTIONS.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Chapter {
            $(#[$doc] $chapter),+
        }

        /// All chapters with their headings, in the order of the help text.
        pub const CHAPTERS: &[(Chapter, &str)] = &[$((Chapter::$chapter, $title)),+];

        /// All options, in the order of the table.
        pub const FLAGS: &[Flag] = &[$($(Flag {
            id: Id::$id,
            chapter: Chapter::$chapter,
            short: [$($short,)? ' '][0],
            long: $long,
            values: &[$($(Value { name: $name, kind: $kind }),+)?],
            repeatable: !concat!($($(stringify!($repeatable))?)?).is_empty(),
            rejection: concat!($($($not)?)?),
            help_line: $line,
        },)+)+];

        // Only build.rs and the tests use the paragraphs and the examples, so the program does not contain them.

        /// The man page's paragraph for each option, in the order of the table.
        pub const MANUAL_PARAGRAPHS: &[&str] = &[$($(concat!($($text),+),)+)+];

        /// The examples for each option, in the order of the table.
        #[allow(dead_code)]
        pub const EXAMPLES: &[Examples] = &[$($(Examples {
            accepted: &[$($(&[$($accepted),+]),+)?],
            rejected: &[$($((&[$($rejected),+], concat!($($says)?))),*)?],
        },)+)+];
    };
}

all_flags!(table);
