//! A short name for what has to be equal on all directors.

use crate::model::Config;

impl Config {
    /// Sixteen hexadecimal digits over what all directors have to agree on, see [`crate::settings`].
    pub fn digest(&self) -> String {
        self.settings().digest()
    }
}

#[cfg(test)]
mod tests;
