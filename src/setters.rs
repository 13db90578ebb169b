//! Chainable setters of options, by value and named as their fields, so that options can get more fields.

/// Setters of public fields, inside of an `impl`: `flag` turns one on, `value` sets one, `optional` one that need not be set;
/// the latter two convert with `into`.
macro_rules! setters {
    () => {};
    (flag $field:ident; $($rest:tt)*) => {
        #[doc = concat!("Turns on [`", stringify!($field), "`](#structfield.", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self) -> Self {
            self.$field = true;
            self
        }

        $crate::setters::setters! { $($rest)* }
    };
    (value $field:ident: $type:ty; $($rest:tt)*) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](#structfield.", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, $field: $type) -> Self {
            self.$field = $field;
            self
        }

        $crate::setters::setters! { $($rest)* }
    };
    (value into $field:ident: $type:ty; $($rest:tt)*) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](#structfield.", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, $field: impl Into<$type>) -> Self {
            self.$field = $field.into();
            self
        }

        $crate::setters::setters! { $($rest)* }
    };
    (optional $field:ident: $type:ty; $($rest:tt)*) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](#structfield.", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, $field: $type) -> Self {
            self.$field = Some($field);
            self
        }

        $crate::setters::setters! { $($rest)* }
    };
    (optional into $field:ident: $type:ty; $($rest:tt)*) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](#structfield.", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, $field: impl Into<$type>) -> Self {
            self.$field = Some($field.into());
            self
        }

        $crate::setters::setters! { $($rest)* }
    };
}

pub(crate) use setters;
