//! What an operator may ask of the mesh besides looking at it, and what is answered.

use mesh_control::Plan;

/// An operator's wish, in the words that were typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A router, by its name, its sync group's or one of its addresses, on this director.
    Move {
        /// Which router.
        what: String,
        /// The director's name, or its identity.
        node: String,
    },
    /// A router where it would be if no operator had moved it.
    Back {
        /// Which router.
        what: String,
    },
    /// This director empty.
    Drain {
        /// Its name, or its identity.
        node: String,
    },
    /// This director as usual again.
    Undrain {
        /// Its name, or its identity.
        node: String,
    },
    /// What would move as things stand, or if this director were to be empty.
    Plan {
        /// Its name, or its identity.
        drain: Option<String>,
    },
}

/// What came of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done, or will be without more ado; in words.
    Done {
        /// In words.
        text: String,
        /// The director that ordered it.
        by: String,
    },
    /// To [`Wish::Plan`].
    Plan(Plan),
}

/// Why a wish was not granted: nothing moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Who refused, and why.
    pub text: String,
    /// There is no such router or director.
    pub unknown: bool,
}
