//! How a key is defined: once, with its type, default, documentation and check side by side.
//!
//! `keys!` turns one table of definitions into the typed struct that the program reads *and* into
//! the list of [`Key`]s that the parser, `--help`, the sample file and the reference are made from:
//!
//! ```text
//! keys! {
//!     /// What the section is about.                       ─► doc of the struct and the section
//!     pub struct Demo in "demo" {
//!         /// Whether the demo plays.                      ─► doc of the field and the key
//!         enabled: bool = false, restart();
//!         │        │      │      └─ rules: methods of `Key`
//!         │        │      └─ default
//!         │        └─ type: a `Setting`, which knows how to read and write itself
//!         └─ name
//!     }
//! }
//! ```
//!
//! *Invariant:* a documented key that the parser does not know, or the reverse, cannot be written.

use toml::de::DeValue;

use crate::setting::Setting;

/// A table of the configuration file.
pub(crate) trait Section: Clone + Default + 'static {
    /// Its name in the file, without brackets.
    const NAME: &'static str;
    /// What it is about.
    const DOC: &'static str;
    /// Its keys in the order they are documented.
    const KEYS: &'static [Key<Self>];
}

/// One key of a section `S`.
#[derive(Clone, Copy)]
pub(crate) struct Key<S> {
    /// Its name in its section.
    pub(crate) name: &'static str,
    /// `section.name`.
    pub(crate) full_name: &'static str,
    /// What it means.
    pub(crate) doc: &'static str,
    /// What kind of value it takes, in words.
    pub(crate) kind: fn() -> String,
    /// Reads a value into the section.
    pub(crate) read: fn(&mut S, &DeValue<'_>) -> Result<(), String>,
    /// The value as it would stand in the file; `None` when it is not set.
    pub(crate) write: fn(&S) -> Option<String>,
    /// The value as a number, where it is one.
    pub(crate) number: fn(&S) -> Option<u64>,
    /// Whether two sections differ in it.
    pub(crate) differs: fn(&S, &S) -> bool,
    /// Copies the value from the first to the second.
    pub(crate) copy: fn(&S, &mut S),
    /// Least and greatest number allowed.
    pub(crate) range: Option<(u64, u64)>,
    /// What else must hold once the value has been read.
    pub(crate) check: Option<Check<S>>,
    /// A value to show where there is no default, as it would stand in the file.
    pub(crate) example: Option<&'static str>,
    /// Whether a section without it is refused.
    pub(crate) is_required: bool,
    /// Whether it belongs to one mount only and cannot be inherited.
    pub(crate) is_own: bool,
    /// Whether a change takes effect only when the program starts again.
    pub(crate) needs_restart: bool,
}

/// What must hold of a section; the error says what was expected and found.
pub(crate) type Check<S> = fn(&S) -> Result<(), String>;

/// How one field of `S` is reached; what `keys!` fills in for [`Key::new`].
pub(crate) struct Access<S> {
    pub(crate) read: fn(&mut S, &DeValue<'_>) -> Result<(), String>,
    pub(crate) write: fn(&S) -> Option<String>,
    pub(crate) number: fn(&S) -> Option<u64>,
    pub(crate) differs: fn(&S, &S) -> bool,
    pub(crate) copy: fn(&S, &mut S),
}

impl<S> Key<S> {
    /// A key with no rules yet.
    pub(crate) const fn new<T: Setting>(
        name: &'static str,
        full_name: &'static str,
        doc: &'static str,
        access: Access<S>,
    ) -> Self {
        Key {
            name,
            full_name,
            doc,
            kind: T::kind,
            read: access.read,
            write: access.write,
            number: access.number,
            differs: access.differs,
            copy: access.copy,
            range: None,
            check: None,
            example: None,
            is_required: false,
            is_own: false,
            needs_restart: false,
        }
    }

    /// Rule: the number is `least` to `greatest`.
    pub(crate) const fn within(mut self, least: u64, greatest: u64) -> Self {
        assert!(least <= greatest, "a range that holds something");
        self.range = Some((least, greatest));
        self
    }

    /// Rule: `check` holds for the section once the value is in it.
    pub(crate) const fn check(mut self, check: Check<S>) -> Self {
        self.check = Some(check);
        self
    }

    /// What to show in the sample where there is no default.
    pub(crate) const fn example(mut self, example: &'static str) -> Self {
        self.example = Some(example);
        self
    }

    /// Rule: the section must have it.
    pub(crate) const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// Rule: it belongs to one mount and is not inherited.
    pub(crate) const fn own(mut self) -> Self {
        self.is_own = true;
        self
    }

    /// A change waits for the next start.
    pub(crate) const fn restart(mut self) -> Self {
        self.needs_restart = true;
        self
    }

    /// Reads `value` into `section` if it holds against the key's rules. If not, the section stays
    /// as it was, so that one mistake is not reported again by the checks across keys.
    pub(crate) fn set(&self, section: &mut S, value: &DeValue<'_>) -> Result<(), String>
    where
        S: Clone,
    {
        let mut changed = section.clone();
        (self.read)(&mut changed, value)?;
        if let (Some((least, greatest)), Some(number)) = (self.range, (self.number)(&changed))
            && !(least..=greatest).contains(&number)
        {
            return Err(format!("expected {least} to {greatest}, found {number}"));
        }
        self.check.map_or(Ok(()), |check| check(&changed))?;
        *section = changed;
        Ok(())
    }
}

/// Defines a section: struct, defaults and keys. See the module's text.
macro_rules! keys {
    // Defaults that are constants too, so that the compiler can hold them against each other.
    (
        $(#[doc = $about:literal])*
        pub struct $section:ident in $table:literal, const $constant:ident {
            $(
                $(#[doc = $doc:literal])*
                $name:ident : $type:ty = $default:expr $(, $rule:ident ( $($argument:expr),* ))*;
            )*
        }
    ) => {
        $crate::define::keys! {
            $(#[doc = $about])*
            pub struct $section in $table {
                $(
                    $(#[doc = $doc])*
                    $name : $type = $default $(, $rule ( $($argument),* ))*;
                )*
            }
        }

        impl $section {
            /// The defaults.
            pub const $constant: $section = $section { $($name: $default),* };
        }
    };
    (
        $(#[doc = $about:literal])*
        pub struct $section:ident in $table:literal {
            $(
                $(#[doc = $doc:literal])*
                $name:ident : $type:ty = $default:expr $(, $rule:ident ( $($argument:expr),* ))*;
            )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $section {
            $(
                $(#[doc = $doc])*
                pub $name: $type,
            )*
        }

        impl Default for $section {
            fn default() -> Self {
                $section { $($name: $default),* }
            }
        }

        impl $crate::define::Section for $section {
            const NAME: &'static str = $table;
            const DOC: &'static str = concat!($($about, "\n"),*);
            const KEYS: &'static [$crate::define::Key<Self>] = &[
                $(
                    $crate::define::Key::new::<$type>(
                        stringify!($name),
                        concat!($table, ".", stringify!($name)),
                        concat!($($doc, "\n"),*),
                        $crate::define::Access {
                            read: |section: &mut $section, value| {
                                section.$name = $crate::setting::Setting::read(value)?;
                                Ok(())
                            },
                            write: |section| $crate::setting::Setting::write(&section.$name),
                            number: |section| $crate::setting::Setting::number(&section.$name),
                            differs: |before, after| before.$name != after.$name,
                            copy: |from, to| to.$name.clone_from(&from.$name),
                        },
                    )
                    $(.$rule($($argument),*))*,
                )*
            ];
        }
    };
}

pub(crate) use keys;
