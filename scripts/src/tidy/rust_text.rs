//! Rust as tidy reads it: tokens without comments and literals, functions by their braces, and the
//! lines that only tests see.
//!
//! This is not a parser. It knows what is code and what is not (comments nest, raw strings have
//! their hashes, `'a` is a lifetime and `'a'` a character), and matches brackets. That is enough
//! for every rule here, and nothing in it must be kept up to date with the language.

use std::ops::RangeInclusive;

/// The code of one file.
pub struct RustText {
    /// Names, numbers and single punctuation characters, in order.
    pub tokens: Vec<Token>,
    /// Line ranges under `#[cfg(test)]`.
    test_lines: Vec<RangeInclusive<usize>>,
}

/// A name, a number, or one character of punctuation.
#[derive(Debug, PartialEq, Eq)]
pub struct Token {
    /// As written.
    pub text: String,
    /// From 1.
    pub line: usize,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// From the line of `fn` to that of the closing brace.
    pub lines: RangeInclusive<usize>,
}

impl RustText {
    /// Reads a file's text.
    pub fn new(text: &str) -> RustText {
        let tokens = tokens(&code_only(text));
        let test_lines = test_lines(&tokens);
        RustText { tokens, test_lines }
    }

    /// Whether only a test build has this line.
    pub fn is_test_line(&self, line: usize) -> bool {
        self.test_lines.iter().any(|lines| lines.contains(&line))
    }

    /// The token's text; empty past the end.
    pub fn at(&self, index: usize) -> &str {
        self.tokens.get(index).map_or("", |token| &token.text)
    }

    /// Whether the tokens from `index` on are these.
    pub fn has(&self, index: usize, texts: &[&str]) -> bool {
        texts.iter().enumerate().all(|(step, text)| self.at(index + step) == *text)
    }

    /// Every function that has a body, nested ones too.
    pub fn functions(&self) -> Vec<Function> {
        let is_name = |index: usize| self.at(index).starts_with(is_name_start);
        let starts = (0..self.tokens.len()).filter(|at| self.at(*at) == "fn" && is_name(at + 1));
        let found = starts.filter_map(|at| {
            let (end, has_body) = item_end(&self.tokens, at)?;
            let lines = self.tokens[at].line..=self.tokens[end].line;
            has_body.then(|| Function { name: self.at(at + 1).to_owned(), lines })
        });
        found.collect()
    }
}

fn is_name_start(letter: char) -> bool {
    letter.is_alphabetic() || letter == '_'
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The same text with comments and literals blanked, line by line in place.
fn code_only(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < letters.len() {
        let end = literal_end(&letters, at).unwrap_or(at);
        if end == at {
            code.push(letters[at]);
            at += 1;
        }
        while at < end {
            code.push(if letters[at] == '\n' { '\n' } else { ' ' });
            at += 1;
        }
    }
    code
}

/// Where the comment or literal that starts at `at` ends; `None` where none starts.
fn literal_end(letters: &[char], at: usize) -> Option<usize> {
    let letter = |index: usize| letters.get(index).copied().unwrap_or('\0');
    match (letter(at), letter(at + 1)) {
        ('/', '/') => Some(find(letters, at, |at| letters[at] == '\n')),
        ('/', '*') => Some(block_comment_end(letters, at)),
        ('"', _) => Some(quoted_end(letters, at, '"')),
        ('\'', '\\') => Some(quoted_end(letters, at, '\'')),
        ('\'', _) if letter(at + 2) == '\'' => Some(at + 3),
        ('r' | 'b' | 'c', _) if at == 0 || !is_name(letter(at - 1)) => raw_end(letters, at),
        _ => None,
    }
}

fn find(letters: &[char], from: usize, is_it: impl Fn(usize) -> bool) -> usize {
    (from..letters.len()).find(|at| is_it(*at)).unwrap_or(letters.len())
}

fn block_comment_end(letters: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < letters.len() {
        match letters[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    letters.len()
}

fn quoted_end(letters: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < letters.len() && letters[at] != quote {
        at += if letters[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(letters.len())
}

/// `r"…"`, `r#"…"#`, and the same after `b` or `c`. Other prefixed strings need no help: their
/// quote is found by itself.
fn raw_end(letters: &[char], start: usize) -> Option<usize> {
    let mut at = start;
    if matches!(letters[at], 'b' | 'c') {
        at += 1;
    }
    if letters.get(at) != Some(&'r') {
        return None;
    }
    let quote = find(letters, at + 1, |at| letters[at] != '#');
    let hash_count = quote - at - 1;
    if letters.get(quote) != Some(&'"') {
        return None;
    }
    let closes = |at: usize| {
        let after = letters[at + 1..].iter().take_while(|letter| **letter == '#').count();
        letters[at] == '"' && after >= hash_count
    };
    Some((find(letters, quote + 1, closes) + 1 + hash_count).min(letters.len()))
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let end = if is_name(first) {
                rest.find(|letter| !is_name(letter)).unwrap_or(rest.len())
            } else {
                first.len_utf8()
            };
            let (text, after) = rest.split_at(end);
            if !first.is_whitespace() {
                tokens.push(Token { text: text.to_owned(), line: index + 1 });
            }
            rest = after;
        }
    }
    tokens
}

/// The last token of the item that starts at `start`, and whether that closes a body.
fn item_end(tokens: &[Token], start: usize) -> Option<(usize, bool)> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "{" if depth == 0 => return closing(tokens, at).map(|end| (end, true)),
            ";" if depth == 0 => return Some((at, false)),
            "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The bracket that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

fn test_lines(tokens: &[Token]) -> Vec<RangeInclusive<usize>> {
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        if !(text(at) == "#" && text(at + 1) == "[" && text(at + 2) == "cfg") {
            continue;
        }
        let Some(end) = closing(tokens, at + 1) else { continue };
        let is_test = (at..end).any(|index| text(index) == "test" && text(index - 2) != "not");
        // Further attributes stand in brackets, so the item's own end is still the first outside.
        if let Some((last, _)) = item_end(tokens, end + 1).filter(|_| is_test) {
            found.push(tokens[at].line..=tokens[last].line);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        RustText::new(text).tokens.into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(words("a // b\nc /* d /* e */ f */ g"), ["a", "c", "g"]);
        assert_eq!(words(r#"a("b \" c", 'd', '\'', b"e")"#), ["a", "(", ",", ",", ",", "b", ")"]);
        assert_eq!(words("x r##\"a \"# b\"## y"), ["x", "y"]);
        assert_eq!(words("&'a str"), ["&", "'", "a", "str"]);
        assert_eq!(words("for r in b { c }"), ["for", "r", "in", "b", "{", "c", "}"]);
    }

    #[test]
    fn an_open_literal_ends_with_the_file() {
        for text in ["\"abc", "/* abc", "r#\"abc\"", "'\\", "b'", "r#", "// x"] {
            let _ = words(text);
        }
    }

    #[test]
    fn functions_are_measured_from_fn_to_brace() {
        let text =
            "trait T { fn none(&self); }\nfn f(a: [u8; 4]) -> fn(u8)\nwhere A: B\n{\n{}\n}\n";
        let functions = RustText::new(text).functions();
        assert_eq!(functions, [Function { name: "f".into(), lines: 2..=6 }]);
    }

    #[test]
    fn lines_under_cfg_test_are_known() {
        let text = "fn a() {}\n#[cfg(test)]\n#[path = \"x\"]\nmod tests {\n  fn b() {}\n}\n\
                    fn c() {}\n#[cfg(not(test))]\nfn d() {}\n";
        let rust = RustText::new(text);
        let tests: Vec<_> = (1..=9).filter(|line| rust.is_test_line(*line)).collect();
        assert_eq!(tests, [2, 3, 4, 5, 6]);
    }
}
