//! Values that shells offer for an option that takes others, too.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command, Error};

/// Parses as another parser does, and has values to offer. Help lists them unless the argument hides them.
#[derive(Clone)]
pub(super) struct Offering<P> {
    values: &'static [&'static str],
    parser: P,
}

impl<P: TypedValueParser> Offering<P> {
    pub(super) fn new(values: &'static [&'static str], parser: P) -> Self {
        Self { values, parser }
    }
}

impl<P: TypedValueParser> TypedValueParser for Offering<P> {
    type Value = P::Value;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, Error> {
        self.parser.parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.values.iter().map(PossibleValue::new)))
    }
}
