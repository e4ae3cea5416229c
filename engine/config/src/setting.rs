//! What a value of the configuration can be: how each type is read from TOML, and written back.
//!
//! A type that is read wrongly says what was expected and what was found. A secret never says what
//! was found.

use std::net::SocketAddr;
use std::path::PathBuf;

use toml::de::DeValue;

/// A type that a key can have.
pub(crate) trait Setting: Clone {
    /// What it is, in words that fit after «expected».
    fn kind() -> String;

    /// Reads it; the error is a whole sentence part, «expected …, found …».
    fn read(value: &DeValue<'_>) -> Result<Self, String>;

    /// The value as TOML; `None` where it is not set.
    fn write(&self) -> Option<String>;

    /// The value as a number, for range rules.
    fn number(&self) -> Option<u64> {
        None
    }
}

impl Setting for bool {
    fn kind() -> String {
        "true or false".into()
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| mismatch::<Self>(value))
    }

    fn write(&self) -> Option<String> {
        Some(self.to_string())
    }
}

macro_rules! whole_numbers {
    ($($type:ty),*) => { $(
        impl Setting for $type {
            fn kind() -> String {
                "a whole number".into()
            }

            fn read(value: &DeValue<'_>) -> Result<Self, String> {
                let number = value.as_integer().ok_or_else(|| mismatch::<Self>(value))?;
                <$type>::from_str_radix(number.as_str(), number.radix())
                    .map_err(|_| format!("expected 0 to {}, found {number}", <$type>::MAX))
            }

            fn write(&self) -> Option<String> {
                Some(self.to_string())
            }

            fn number(&self) -> Option<u64> {
                u64::try_from(*self).ok()
            }
        }
    )* };
}

whole_numbers!(u32, u64, usize);

impl Setting for String {
    fn kind() -> String {
        "a string".into()
    }

    /// Every string may end up in a header line, so none may hold a control character.
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let text = value.as_str().ok_or_else(|| mismatch::<Self>(value))?;
        if text.chars().any(char::is_control) {
            return Err(format!("expected a string without control characters, found {text:?}"));
        }
        Ok(text.to_owned())
    }

    fn write(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Setting for PathBuf {
    fn kind() -> String {
        "a path".into()
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value.as_str() {
            Some(text) if !text.is_empty() && !text.contains('\0') => Ok(text.into()),
            _ => Err(mismatch::<Self>(value)),
        }
    }

    fn write(&self) -> Option<String> {
        Some(quoted(&self.to_string_lossy()))
    }
}

impl Setting for SocketAddr {
    fn kind() -> String {
        "an address and port such as \"0.0.0.0:8000\" or \"[::]:8000\"".into()
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| mismatch::<Self>(value))
    }

    fn write(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

/// A header line, `"Name: value"`.
impl Setting for (String, String) {
    fn kind() -> String {
        "a header line \"Name: value\"".into()
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let line = String::read(value).map_err(|_| mismatch::<Self>(value))?;
        match line.split_once(':') {
            Some((name, text)) if is_token(name) => Ok((name.into(), text.trim().into())),
            _ => Err(mismatch::<Self>(value)),
        }
    }

    fn write(&self) -> Option<String> {
        Some(quoted(&format!("{}: {}", self.0, self.1)))
    }
}

/// A key that may be unset. An empty string unsets it, also where it would be inherited.
impl<T: Setting> Setting for Option<T> {
    fn kind() -> String {
        T::kind()
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        if value.as_str() == Some("") { Ok(None) } else { T::read(value).map(Some) }
    }

    fn write(&self) -> Option<String> {
        self.as_ref().and_then(T::write)
    }

    fn number(&self) -> Option<u64> {
        self.as_ref().and_then(T::number)
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn kind() -> String {
        format!("a list, each {}", T::kind())
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let list = value.as_array().ok_or_else(|| mismatch::<Self>(value))?;
        list.iter().map(|element| T::read(element.get_ref())).collect()
    }

    fn write(&self) -> Option<String> {
        let elements: Vec<String> = self.iter().filter_map(T::write).collect();
        Some(format!("[{}]", elements.join(", ")))
    }
}

/// «expected …, found …» for a value that is not a `T`.
pub(crate) fn mismatch<T: Setting>(value: &DeValue<'_>) -> String {
    let found = match value {
        DeValue::String(text) => format!("the string {text:?}"),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(_) => "a date".into(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    };
    format!("expected {}, found {found}", T::kind())
}

/// `text` as a TOML basic string.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Whether `text` is an HTTP token (RFC 9110 §5.6.2): what header names are made of.
pub(crate) fn is_token(text: &str) -> bool {
    let is_mark = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}
