//! A router whose table is data.
//!
//! A pattern is a path whose segments are literal, `{name}` for any one segment, or, at the end,
//! `{*name}` for all that is left, slashes included. Where several match, the one that is literal
//! for longer wins, whatever their order. `GET` answers `HEAD`, and every path answers `OPTIONS`.
//! [`Route::any`] is for whole spaces of paths that speak another dialect.
//!
//! ```
//! use protocol_http::Method;
//! use protocol_http::server::{Found, Route, Router};
//!
//! #[derive(Clone, Copy, PartialEq, Debug)]
//! enum Handler { Mounts, Mount, Kick, File }
//!
//! const ROUTES: &[Route<Handler>] = &[
//!     Route::new(Method::Get, "/api/mounts", Handler::Mounts),
//!     Route::new(Method::Get, "/api/mounts/{name}", Handler::Mount),
//!     Route::new(Method::Delete, "/api/mounts/{name}", Handler::Kick).with_auth(),
//!     Route::new(Method::Get, "/{*path}", Handler::File),
//! ];
//! let router = Router::new(ROUTES);
//! match router.find(Method::Head, "/api/mounts/live") {
//!     Found::Route(route, parameters) => {
//!         assert_eq!((route.handler, parameters.get("name")), (Handler::Mount, Some("live")));
//!     }
//!     other => panic!("{other:?}"),
//! }
//! let Found::NotAllowed { allow } = router.find(Method::Put, "/api/mounts") else { panic!() };
//! assert_eq!(allow, "GET, HEAD, OPTIONS");
//! ```

use crate::method::Method;

/// The most parameters of a pattern.
pub const PARAMETERS_COUNT_MAX: usize = 4;

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Route<H> {
    /// Of the requests that it takes; `None`: whatever method no other route of the pattern names,
    /// also one that nobody knows.
    pub method: Option<Method<'static>>,
    /// Of their paths, which are compared decoded.
    pub pattern: &'static str,
    /// What the program does with them.
    pub handler: H,
    /// Longest body in bytes.
    pub body_bytes_max: u64,
    /// Whether only those may ask who have proved who they are.
    pub needs_auth: bool,
}

/// The table, in the order in which it is searched.
#[derive(Debug)]
pub struct Router<H> {
    paths: Vec<Path<H>>,
    /// Of the paths without parameters, which come first and are sorted: the usual case is one
    /// binary search.
    literal_count: usize,
}

/// What is there under one pattern.
#[derive(Debug)]
struct Path<H> {
    pattern: &'static str,
    segments: Vec<Segment>,
    routes: Vec<Route<H>>,
    allow: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Segment {
    Literal(&'static str),
    One(&'static str),
    Rest(&'static str),
}

/// What a request's method and path came to.
#[derive(Debug)]
pub enum Found<'r, 'p, H> {
    /// This.
    Route(&'r Route<H>, Parameters<'p>),
    /// The path is there, but not for this method: 405 with `Allow`.
    NotAllowed {
        /// The value of `Allow`.
        allow: &'r str,
    },
    /// `OPTIONS`: 204 with `Allow`.
    Options {
        /// The value of `Allow`.
        allow: &'r str,
    },
    /// The method is none that anybody knows: 501.
    NoMethod,
    /// 404.
    Nothing,
}

/// What a path has in the places of the pattern's parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parameters<'p> {
    pairs: [(&'static str, &'p str); PARAMETERS_COUNT_MAX],
    count: usize,
}

impl<H> Route<H> {
    /// A route without a body and open to all.
    #[must_use]
    pub const fn new(method: Method<'static>, pattern: &'static str, handler: H) -> Route<H> {
        Route { method: Some(method), pattern, handler, body_bytes_max: 0, needs_auth: false }
    }

    /// A route for all methods that no other route of its pattern names, likewise. It answers
    /// `OPTIONS` itself, and nothing is not allowed there.
    #[must_use]
    pub const fn any(pattern: &'static str, handler: H) -> Route<H> {
        Route { method: None, pattern, handler, body_bytes_max: 0, needs_auth: false }
    }

    /// The same with a body of at most so many bytes.
    #[must_use]
    pub const fn with_body(mut self, body_bytes_max: u64) -> Route<H> {
        self.body_bytes_max = body_bytes_max;
        self
    }

    /// The same for those who have proved who they are.
    #[must_use]
    pub const fn with_auth(mut self) -> Route<H> {
        self.needs_auth = true;
        self
    }
}

impl<H: Copy> Router<H> {
    /// A router of this table.
    ///
    /// # Panics
    /// When the table is wrong: a pattern that is none, or a method twice under one.
    #[must_use]
    pub fn new(routes: &[Route<H>]) -> Router<H> {
        let mut paths: Vec<Path<H>> = Vec::new();
        for route in routes {
            let segments = segments_of(route.pattern);
            let is_same = |path: &&mut Path<H>| has_same_shape(&path.segments, &segments);
            match paths.iter_mut().find(is_same) {
                Some(path) => {
                    let is_new = path.routes.iter().all(|other| other.method != route.method);
                    let (method, pattern) = (route.method, route.pattern);
                    let is_clear = is_new && path.segments == segments;
                    assert!(is_clear, "{method:?} {pattern} is ambiguous");
                    path.routes.push(*route);
                }
                None => paths.push(Path {
                    pattern: route.pattern,
                    segments,
                    routes: vec![*route],
                    allow: String::new(),
                }),
            }
        }
        paths.iter_mut().for_each(|path| path.allow = allow_of(&path.routes));
        paths.sort_by(|one, other| rank(one).cmp(&rank(other)));
        let literal_count = paths.iter().take_while(|path| is_literal(&path.segments)).count();
        Router { paths, literal_count }
    }

    /// What answers a request of this method for this path, which is decoded and has no query.
    pub fn find<'p>(&self, method: Method<'_>, path: &'p str) -> Found<'_, 'p, H> {
        let entry = self.entry(path);
        let of = |entry: &'_ Path<H>, method: Option<Method<'_>>| {
            entry.routes.iter().position(|route| route.method == method)
        };
        let found = entry.as_ref().and_then(|(entry, _)| {
            let get = (method == Method::Head).then(|| of(entry, Some(Method::Get))).flatten();
            of(entry, Some(method)).or(get).or_else(|| of(entry, None))
        });
        match (entry, found, method) {
            (Some((entry, parameters)), Some(at), _) => Found::Route(&entry.routes[at], parameters),
            (_, _, Method::Other(_)) => Found::NoMethod,
            (Some((entry, _)), _, Method::Options) => Found::Options { allow: &entry.allow },
            (Some((entry, _)), ..) => Found::NotAllowed { allow: &entry.allow },
            (None, ..) => Found::Nothing,
        }
    }

    fn entry<'p>(&self, path: &'p str) -> Option<(&Path<H>, Parameters<'p>)> {
        let (literal, others) = self.paths.split_at(self.literal_count);
        if let Ok(index) = literal.binary_search_by(|entry| entry.pattern.cmp(path)) {
            return Some((&literal[index], Parameters::default()));
        }
        others.iter().find_map(|entry| Some((entry, captures(&entry.segments, path)?)))
    }
}

impl<'p> Parameters<'p> {
    /// The value of a parameter of the pattern.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'p str> {
        self.pairs[..self.count].iter().find(|pair| pair.0 == name).map(|pair| pair.1)
    }

    fn push(&mut self, name: &'static str, value: &'p str) {
        self.pairs[self.count] = (name, value);
        self.count += 1;
    }
}

fn segments_of(pattern: &'static str) -> Vec<Segment> {
    let rest = pattern.strip_prefix('/').expect("a pattern begins with a slash");
    let segments: Vec<Segment> = rest.split('/').map(segment_of).collect();
    let rests = segments.iter().rev().skip(1);
    let is_well_formed = rests.clone().all(|segment| !matches!(segment, Segment::Rest(_)));
    assert!(is_well_formed, "{pattern}: nothing comes behind the rest");
    let count = segments.iter().filter(|segment| !matches!(segment, Segment::Literal(_))).count();
    assert!(count <= PARAMETERS_COUNT_MAX, "{pattern} has more than {PARAMETERS_COUNT_MAX}");
    segments
}

fn segment_of(text: &'static str) -> Segment {
    match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        Some(name) => match name.strip_prefix('*') {
            Some(name) => Segment::Rest(name),
            None => Segment::One(name),
        },
        None => {
            assert!(!text.contains(['{', '}']), "{text}: a parameter is a whole segment");
            Segment::Literal(text)
        }
    }
}

/// Whether two patterns match the same paths.
fn has_same_shape(one: &[Segment], other: &[Segment]) -> bool {
    let same = |(one, other): (&Segment, &Segment)| match (one, other) {
        (Segment::Literal(one), Segment::Literal(other)) => one == other,
        (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
    };
    one.len() == other.len() && one.iter().zip(other).all(same)
}

fn is_literal(segments: &[Segment]) -> bool {
    segments.iter().all(|segment| matches!(segment, Segment::Literal(_)))
}

/// Literal paths first, in order; then what is literal for longer, segment by segment.
fn rank<H>(path: &Path<H>) -> (bool, Vec<u8>, &'static str) {
    let kinds = path.segments.iter().map(|segment| match segment {
        Segment::Literal(_) => 0,
        Segment::One(_) => 1,
        Segment::Rest(_) => 2,
    });
    let has_parameters = !is_literal(&path.segments);
    let kinds = if has_parameters { kinds.collect() } else { Vec::new() };
    (has_parameters, kinds, path.pattern)
}

fn captures<'p>(segments: &[Segment], path: &'p str) -> Option<Parameters<'p>> {
    let mut parameters = Parameters::default();
    let mut rest = Some(path.strip_prefix('/')?);
    for segment in segments {
        let present = rest?;
        let (first, behind) = match present.split_once('/') {
            Some((first, behind)) => (first, Some(behind)),
            None => (present, None),
        };
        match segment {
            Segment::Literal(text) if *text != first => return None,
            Segment::Literal(_) => {}
            // A parameter is something: `/mounts/` is no mount.
            Segment::One(_) if first.is_empty() => return None,
            Segment::One(name) => parameters.push(name, first),
            Segment::Rest(name) => {
                parameters.push(name, present);
                return Some(parameters);
            }
        }
        rest = behind;
    }
    rest.is_none().then_some(parameters)
}

fn allow_of<H>(routes: &[Route<H>]) -> String {
    let mut methods: Vec<&str> = Vec::new();
    let has = |method| routes.iter().any(|route| route.method == Some(method));
    for method in routes.iter().filter_map(|route| route.method) {
        methods.push(method.as_str());
        if method == Method::Get && !has(Method::Head) {
            methods.push(Method::Head.as_str());
        }
    }
    if !methods.contains(&"OPTIONS") {
        methods.push("OPTIONS");
    }
    methods.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &[Route<u8>] = &[
        Route::new(Method::Get, "/{*path}", 0),
        Route::new(Method::Get, "/", 1),
        Route::new(Method::Get, "/a/{x}", 2),
        Route::new(Method::Get, "/a/b", 3),
        Route::new(Method::Post, "/a/b", 4).with_body(10),
        Route::new(Method::Get, "/a/{x}/c/{y}", 5),
        Route::new(Method::Get, "/a/{x}/{*rest}", 6),
        Route::new(Method::Put, "/only", 7),
    ];

    fn find(
        method: Method<'static>,
        path: &'static str,
    ) -> (u8, Vec<(&'static str, &'static str)>) {
        match Router::new(ROUTES).find(method, path) {
            Found::Route(route, parameters) => {
                (route.handler, parameters.pairs[..parameters.count].to_vec())
            }
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn the_longest_literal_wins_whatever_the_order() {
        assert_eq!(find(Method::Get, "/"), (1, vec![]));
        assert_eq!(find(Method::Get, "/a/b"), (3, vec![]));
        assert_eq!(find(Method::Post, "/a/b"), (4, vec![]));
        assert_eq!(find(Method::Get, "/a/z"), (2, vec![("x", "z")]));
        assert_eq!(find(Method::Get, "/a/z/c/w"), (5, vec![("x", "z"), ("y", "w")]));
        assert_eq!(find(Method::Get, "/a/z/c/"), (6, vec![("x", "z"), ("rest", "c/")]));
        assert_eq!(find(Method::Get, "/a/"), (0, vec![("path", "a/")]));
        assert_eq!(find(Method::Head, "/q/r.txt"), (0, vec![("path", "q/r.txt")]));
    }

    #[test]
    fn what_is_not_there_is_told_apart() {
        let router = Router::new(ROUTES);
        let allow = |method, path| match router.find(method, path) {
            Found::NotAllowed { allow } => (405, allow.to_owned()),
            Found::Options { allow } => (204, allow.to_owned()),
            Found::NoMethod => (501, String::new()),
            Found::Nothing => (404, String::new()),
            Found::Route(route, _) => (200, route.pattern.to_owned()),
        };
        assert_eq!(allow(Method::Delete, "/a/b"), (405, "GET, HEAD, POST, OPTIONS".to_owned()));
        assert_eq!(allow(Method::Options, "/only"), (204, "PUT, OPTIONS".to_owned()));
        assert_eq!(allow(Method::Get, "/only"), (405, "PUT, OPTIONS".to_owned()));
        assert_eq!(allow(Method::Other("BREW"), "/"), (501, String::new()));
        let few = Router::new(&[Route::new(Method::Get, "/a", 0)]);
        assert!(matches!(few.find(Method::Get, "/b"), Found::Nothing));
        assert!(matches!(few.find(Method::Get, "a"), Found::Nothing));
    }

    #[test]
    fn a_space_may_have_its_own_dialect() {
        let routes = [
            Route::new(Method::Get, "/", 0),
            Route::any("/", 1),
            Route::any("/{*path}", 2),
            Route::new(Method::Get, "/ours", 3),
        ];
        let router = Router::new(&routes);
        let handler = |method, path| match router.find(method, path) {
            Found::Route(route, _) => Some(route.handler),
            _ => None,
        };
        assert_eq!(handler(Method::Head, "/"), Some(0));
        assert_eq!(handler(Method::Options, "/"), Some(1));
        assert_eq!(handler(Method::Other("BREW"), "/pot"), Some(2));
        assert_eq!(handler(Method::Get, "/ours"), Some(3));
        assert_eq!(handler(Method::Put, "/ours"), None);
        assert!(matches!(router.find(Method::Get, "*"), Found::Nothing));
    }

    #[test]
    #[should_panic(expected = "ambiguous")]
    fn one_method_under_two_names_is_a_mistake() {
        let _ = Router::new(&[
            Route::new(Method::Get, "/a/{x}", 0),
            Route::new(Method::Get, "/a/{y}", 1),
        ]);
    }
}
