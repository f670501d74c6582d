//! Which role a request to an upstream needs: `method + path pattern → least role`, first match wins.
//! The gateway and forward-auth use the same rules.
//!
//! A path is taken apart once, strictly, and refused where two programs could read it differently:
//! what is matched is exactly what the upstream gets to see.

use std::borrow::Cow;

use crate::people::Role;

/// Why a path is refused before any rule is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathRefused {
    /// Doesn't begin with a slash.
    #[error("the path must begin with a slash")]
    NotAbsolute,
    /// `//` somewhere but at the end.
    #[error("the path must not contain empty segments")]
    EmptySegment,
    /// `.` or `..` in any spelling.
    #[error("the path must not contain dot segments")]
    DotSegment,
    /// A percent sign that is not followed by two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the path is not well-formed percent-encoded UTF-8")]
    Malformed,
    /// A slash, backslash, NUL or control character, encoded or not, or a bare `#`.
    #[error("the path must not contain encoded slashes, backslashes, control characters or a bare #")]
    ForbiddenCharacter,
}

/// A path whose segments can be read in one way only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Path<'a> {
    /// Between the first slash and the last; `None` is `/` itself.
    inside: Option<&'a str>,
    /// Each segment stands for itself, as those of most paths do, and need not be decoded.
    plain: bool,
}

impl<'a> Path<'a> {
    /// Takes a raw path (without query) and looks at each of its segments.
    pub fn parse(raw: &'a str) -> Result<Self, PathRefused> {
        let rest = raw.strip_prefix('/').ok_or(PathRefused::NotAbsolute)?;
        let inside = rest.strip_suffix('/').unwrap_or(rest);
        if inside.is_empty() {
            return if raw.len() <= 1 {
                Ok(Self { inside: None, plain: true })
            } else {
                Err(PathRefused::EmptySegment)
            };
        }
        let plain = is_plain(inside);
        if !plain {
            inside.split('/').try_for_each(|segment| decode_segment(segment).map(drop))?;
        }
        Ok(Self { inside: Some(inside), plain })
    }

    /// The segments, each decoded once.
    pub fn segments(&self) -> impl Iterator<Item = Cow<'a, str>> + Clone + use<'a> {
        let plain = self.plain;
        let segments = self.inside.into_iter().flat_map(|inside| inside.split('/'));
        // Those that are decoded here were decoded before, so none of them fails.
        let decoded = move |segment| if plain { Ok(Cow::Borrowed(segment)) } else { decode_segment(segment) };
        segments.filter_map(move |segment| decoded(segment).ok())
    }

    fn has_parameters(&self) -> bool {
        !self.plain && self.segments().any(|segment| segment.contains(';'))
    }
}

/// Whether each segment stands for itself.
fn is_plain(inside: &str) -> bool {
    let mut before = b'/';
    let each_is = inside.bytes().all(|byte| {
        let is_empty = byte == b'/' && before == b'/';
        before = byte;
        !is_empty && (byte.is_ascii_alphanumeric() || b"/-_~".contains(&byte))
    });
    each_is && before != b'/'
}

/// The segment as servers see it that drop what follows a semicolon in it.
fn without_parameters(segment: Cow<'_, str>) -> Cow<'_, str> {
    match (segment.find(';'), segment) {
        (None, segment) => segment,
        (Some(end), Cow::Borrowed(text)) => Cow::Borrowed(&text[..end]),
        (Some(end), Cow::Owned(mut text)) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

fn decode_segment(raw: &str) -> Result<Cow<'_, str>, PathRefused> {
    let has = |wanted: &[u8]| raw.bytes().any(|byte| wanted.contains(&byte));
    // Where a query or a fragment begins is for whoever calls to say; a stray mark would be read as
    // part of the path by some and as its end by others.
    if has(b"?#") {
        return Err(PathRefused::ForbiddenCharacter);
    }
    let segment = if has(b"%") { Cow::Owned(percent_decoded(raw)?) } else { Cow::Borrowed(raw) };
    // Some servers drop what follows a semicolon, so `..;x` counts as a dot segment too.
    match &segment[..segment.bytes().position(|byte| byte == b';').unwrap_or(segment.len())] {
        _ if segment.is_empty() => Err(PathRefused::EmptySegment),
        "." | ".." => Err(PathRefused::DotSegment),
        _ if segment.chars().any(|c| matches!(c, '/' | '\\') || c.is_control()) => {
            Err(PathRefused::ForbiddenCharacter)
        }
        _ => Ok(segment),
    }
}

/// Strict: every percent sign must be followed by two digits, and the whole must be UTF-8.
fn percent_decoded(raw: &str) -> Result<String, PathRefused> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let (high, low) = (hex_digit(bytes.next())?, hex_digit(bytes.next())?);
            high << 4 | low
        } else {
            byte
        });
    }
    String::from_utf8(decoded).map_err(|_| PathRefused::Malformed)
}

fn hex_digit(byte: Option<u8>) -> Result<u8, PathRefused> {
    byte.and_then(|b| char::from(b).to_digit(16))
        .and_then(|digit| u8::try_from(digit).ok())
        .ok_or(PathRefused::Malformed)
}

/// A path with placeholders: `{name}` stands for one segment, `{*rest}` at the end for none or more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(Vec<Part>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Literal(String),
    One,
    Rest,
}

/// Why a pattern in the configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternRefused {
    /// The pattern is not a path that could ever match.
    #[error("{0}")]
    Path(#[from] PathRefused),
    /// Something stands behind `{*rest}`.
    #[error("`{{*…}}` is allowed only as the last segment")]
    RestNotLast,
    /// A brace that is not the first or last character of a segment, or a nameless placeholder.
    #[error("`{0}` is not a placeholder; write {{name}} or {{*name}}")]
    Placeholder(String),
}

impl Pattern {
    /// Reads `/api/datastores/{*rest}`.
    pub fn parse(text: &str) -> Result<Self, PatternRefused> {
        let parts = Path::parse(text)?.segments().map(part).collect::<Result<Vec<_>, _>>()?;
        if parts.iter().rev().skip(1).any(|part| *part == Part::Rest) {
            return Err(PatternRefused::RestNotLast);
        }
        Ok(Self(parts))
    }

    /// Whether a path with these segments fits. ASCII case makes no difference.
    pub fn matches<'a>(&self, mut segments: impl Iterator<Item = Cow<'a, str>>) -> bool {
        let (fixed, open_ended) = match self.0.split_last() {
            Some((Part::Rest, fixed)) => (fixed, true),
            _ => (self.0.as_slice(), false),
        };
        let fits = |part: &Part| {
            segments.next().is_some_and(|segment| match part {
                Part::Literal(text) => text.eq_ignore_ascii_case(&segment),
                Part::One | Part::Rest => true,
            })
        };
        fixed.iter().all(fits) && (open_ended || segments.next().is_none())
    }
}

fn part(segment: Cow<'_, str>) -> Result<Part, PatternRefused> {
    let inside = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
    match inside {
        None if segment.contains(['{', '}']) => Err(PatternRefused::Placeholder(segment.into_owned())),
        None => Ok(Part::Literal(segment.into_owned())),
        Some(name) => {
            let (name, part) = name.strip_prefix('*').map_or((name, Part::One), |n| (n, Part::Rest));
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if is_name { Ok(part) } else { Err(PatternRefused::Placeholder(segment.into_owned())) }
        }
    }
}

/// One line of the rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Methods it is for, compared exactly; `None` is all.
    pub methods: Option<Vec<String>>,
    /// Paths it is for.
    pub path: Pattern,
    /// The lowest role that passes.
    pub role: Role,
}

/// All rules, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Rules in the order in which they are tried.
    pub const fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    /// The lowest role that passes. Where no rule fits: Member for GET, HEAD and OPTIONS, Manager
    /// for everything else, so also for a method nobody has heard of. A path with semicolons needs
    /// the role of both ways to read it.
    pub fn least_role(&self, method: &str, path: &Path<'_>) -> Role {
        let literally = self.first_match(method, || path.segments());
        if !path.has_parameters() {
            return literally;
        }
        literally.max(self.first_match(method, || path.segments().map(without_parameters)))
    }

    fn first_match<'a, S: Iterator<Item = Cow<'a, str>>>(
        &self,
        method: &str,
        segments: impl Fn() -> S,
    ) -> Role {
        let fits = |rule: &&Rule| {
            let method_fits = rule.methods.as_ref().is_none_or(|methods| methods.iter().any(|m| m == method));
            method_fits && rule.path.matches(segments())
        };
        match self.0.iter().find(fits) {
            Some(rule) => rule.role,
            None if matches!(method, "GET" | "HEAD" | "OPTIONS") => Role::Member,
            None => Role::Manager,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(raw: &str) -> Path<'_> {
        Path::parse(raw).unwrap()
    }

    fn rules() -> Rules {
        let rule = |methods: Option<&[&str]>, path: &str, role| Rule {
            methods: methods.map(|m| m.iter().map(ToString::to_string).collect()),
            path: Pattern::parse(path).unwrap(),
            role,
        };
        Rules::new(vec![
            rule(Some(&["POST"]), "/api/datastores/{id}/query", Role::Member),
            rule(Some(&["POST"]), "/api/datastores/{*rest}", Role::Manager),
            rule(None, "/admin/{*rest}", Role::Admin),
        ])
    }

    #[test]
    fn the_first_match_wins_and_the_rest_has_defaults() {
        let rules = rules();
        for (method, raw, role) in [
            ("POST", "/api/datastores/7/query", Role::Member),
            ("POST", "/api/datastores/7", Role::Manager),
            ("POST", "/api/datastores", Role::Manager),
            ("GET", "/api/datastores", Role::Member),
            ("GET", "/admin", Role::Admin),
            ("GET", "/ADMIN/Users/", Role::Admin),
            ("GET", "/%61dmin/users", Role::Admin),
            ("GET", "/admin;x/users", Role::Admin),
            ("GET", "/admin%3Bx=1/users;y", Role::Admin),
            ("GET", "/other;x", Role::Member),
            ("HEAD", "/other", Role::Member),
            ("OPTIONS", "/other", Role::Member),
            ("DELETE", "/other", Role::Manager),
            ("get", "/other", Role::Manager),
            ("post", "/api/datastores/7/query", Role::Manager),
            ("BREW", "/", Role::Manager),
        ] {
            assert_eq!(rules.least_role(method, &path(raw)), role, "{method} {raw}");
        }
    }

    #[test]
    fn a_trailing_slash_makes_no_difference() {
        assert_eq!(path("/a/b/"), path("/a/b"));
        assert_eq!(path("/"), path("/"));
        assert_eq!(path("/a%20b").segments().collect::<Vec<_>>(), ["a b"]);
    }

    #[test]
    fn a_path_that_can_be_read_in_two_ways_is_refused() {
        use PathRefused::{DotSegment, EmptySegment, ForbiddenCharacter, Malformed, NotAbsolute};
        for (raw, reason) in [
            ("", NotAbsolute),
            ("*", NotAbsolute),
            ("admin", NotAbsolute),
            ("//", EmptySegment),
            ("//admin", EmptySegment),
            ("/a//b", EmptySegment),
            ("/a//", EmptySegment),
            ("/./admin", DotSegment),
            ("/a/../admin", DotSegment),
            ("/a/..", DotSegment),
            ("/a/%2e%2E/admin", DotSegment),
            ("/a/.%2e/admin", DotSegment),
            ("/a/..;x=1/admin", DotSegment),
            ("/a%2Fadmin", ForbiddenCharacter),
            ("/a%5cadmin", ForbiddenCharacter),
            ("/a\\admin", ForbiddenCharacter),
            ("/admin#x", ForbiddenCharacter),
            ("/admin?x", ForbiddenCharacter),
            ("/a%00", ForbiddenCharacter),
            ("/a%0d%0aX: y", ForbiddenCharacter),
            ("/a%7f", ForbiddenCharacter),
            ("/a%c2%85", ForbiddenCharacter),
            ("/a%", Malformed),
            ("/a%4", Malformed),
            ("/a%zz", Malformed),
            ("/a%c0%af", Malformed),
            ("/a%ff", Malformed),
        ] {
            assert_eq!(Path::parse(raw), Err(reason), "{raw}");
        }
    }

    #[test]
    fn a_bad_pattern_is_refused() {
        for bad in ["api", "/{*rest}/x", "/{}", "/{*}", "/a{id}", "/{i d}", "/{id", "/../x"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rest_stands_for_none_or_more() {
        let all = Pattern::parse("/{*rest}").unwrap();
        for raw in ["/", "/a", "/a/b/c"] {
            assert!(all.matches(path(raw).segments()));
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_it_panic(raw in any::<String>()) {
            let _ = Path::parse(&raw);
            let _ = Pattern::parse(&raw);
        }

        #[test]
        fn a_plain_path_is_taken_as_it_is(inside in "[a-c/.;%2~_-]{1,8}|[a-zA-Z0-9/_~-]{1,20}") {
            if is_plain(&inside) {
                let decoded: Result<Vec<_>, _> = inside.split('/').map(decode_segment).collect();
                prop_assert_eq!(decoded.unwrap(), inside.split('/').collect::<Vec<_>>());
            }
        }

        /// However the letters of a protected path are spelled, its rule is found or it is refused.
        #[test]
        fn no_spelling_dodges_a_rule(choices in proptest::collection::vec(0..4u8, 5)) {
            let spelled: String = "admin".chars().zip(choices).map(|(letter, choice)| match choice {
                0 => letter.to_string(),
                1 => letter.to_ascii_uppercase().to_string(),
                2 => format!("%{:02x}", letter as u32),
                _ => format!("%{:02X}", letter.to_ascii_uppercase() as u32),
            }).collect();
            prop_assert_eq!(rules().least_role("GET", &path(&format!("/{spelled}/x"))), Role::Admin);
        }
    }
}
