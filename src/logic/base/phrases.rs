//! Enums whose variants have texts: each variant and its text are one line of a table. build.rs reads the tables too, and
//! compresses the texts; `logic::base::packed` has them in the program.

/// Makes such an enum. The number of a variant finds its text: that takes four bytes for each use, and a reference to a
/// text of its own takes ten.
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
            /// The texts of all variants, a line for each.
            pub const TEXTS: &str = concat!($($text, "\n",)*);
        }
    };
}
