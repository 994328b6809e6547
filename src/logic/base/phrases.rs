//! Enums whose variants have texts: each variant and its text are one line of a table. build.rs reads the tables too,
//! and compresses the texts; the program gets a text from `logic::base::packed`.

/// Makes an enum whose variants have texts. The text of a variant is found by the variant's number: naming a variant
/// takes four bytes of code, and naming a text by a reference would take ten.
macro_rules! phrases {
    ($(#[$about:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
        }

        #[allow(dead_code, reason = "the texts are for build.rs, and not every such enum is searched")]
        impl $name {
            /// All variants, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];
            /// The texts of all variants, one line for each.
            pub const TEXTS: &str = concat!($($text, "\n",)*);
        }
    };
}
