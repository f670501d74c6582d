//! What directories write and the parser doesn't read, brought into the form that it does. Strings stay as
//! they are.

use std::borrow::Cow;

use scim_v2::filter::Filter;

use super::unreadable;
use crate::error::Error;

/// A filter in the parser's form.
pub(super) fn grammatical(text: &str) -> Result<String, Error> {
    Ok(with_parts_inside(&spaced_not(text))?.into_owned())
}

/// Writes `not(` as `not (`: RFC 7644 has it without a space, the parser wants one. For filters and paths.
pub(in crate::scim) fn spaced_not(text: &str) -> Cow<'_, str> {
    let mut written = String::new();
    let (mut copied, mut looked) = (0, 0);
    while let Some(offset) = outside_strings(&text[looked..], b"(") {
        let open = looked + offset;
        if ends_with_not(&text[..open]) {
            written.extend([&text[copied..open], " "]);
            copied = open;
        }
        looked = open + 1;
    }
    if written.is_empty() {
        return Cow::Borrowed(text);
    }
    written.push_str(&text[copied..]);
    Cow::Owned(written)
}

/// Whether the last word is `not`.
fn ends_with_not(text: &str) -> bool {
    let starts_word =
        |before: &[u8]| before.last().is_none_or(|byte| byte.is_ascii_whitespace() || b"([".contains(byte));
    text.as_bytes()
        .split_last_chunk::<3>()
        .is_some_and(|(before, last)| last.eq_ignore_ascii_case(b"not") && starts_word(before))
}

/// Writes `emails[type eq "work"].value eq "x"` as `emails[(type eq "work") and value eq "x"]`: some
/// directories ask so, and the grammar has it for paths only.
///
/// What is inside must be a filter on its own, or the parentheses could give it another meaning.
fn with_parts_inside(text: &str) -> Result<Cow<'_, str>, Error> {
    let mut written = String::new();
    let mut rest = text;
    while let Some((before, inside, after)) = bracketed(rest) {
        let Some((comparison, after)) = after.strip_prefix('.').and_then(comparison_at_start) else {
            written.push_str(&rest[..rest.len() - after.len()]);
            rest = after;
            continue;
        };
        format!("values[{inside}]").parse::<Filter>().map_err(|_| unreadable())?;
        written.extend([before, "[(", inside, ") and ", comparison, "]"]);
        rest = after;
    }
    if written.is_empty() {
        return Ok(Cow::Borrowed(text));
    }
    written.push_str(rest);
    Ok(Cow::Owned(written))
}

/// The text before, inside and after the first pair of brackets that is not in a string.
fn bracketed(text: &str) -> Option<(&str, &str, &str)> {
    let open = outside_strings(text, b"[")?;
    let (before, inside) = (&text[..open], &text[open + 1..]);
    let close = outside_strings(inside, b"]")?;
    Some((before, &inside[..close], &inside[close + 1..]))
}

/// Where the first of these bytes is, past all strings.
fn outside_strings(text: &str, wanted: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.bytes().position(|byte| {
        let found = !quoted && wanted.contains(&byte);
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        found
    })
}

/// `value eq "x"` or `value pr` at the start of the text, and what comes after it.
fn comparison_at_start(text: &str) -> Option<(&str, &str)> {
    let name = text.find(|c: char| c.is_ascii_whitespace())?;
    let operator = name + text[name..].find(|c: char| !c.is_ascii_whitespace())?;
    let operator_end =
        operator + text[operator..].find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len() - operator);
    let end = if text[operator..operator_end].eq_ignore_ascii_case("pr") {
        operator_end
    } else {
        let value = operator_end + text[operator_end..].find(|c: char| !c.is_ascii_whitespace())?;
        value + outside_strings(&text[value..], b" )").unwrap_or(text.len() - value)
    };
    Some(text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_behind_brackets_is_moved_inside() {
        for (text, expected) in [
            (r#"emails[type eq "work"].value eq "a] b""#, r#"emails[(type eq "work") and value eq "a] b"]"#),
            (
                r#"(emails[type eq "]."].value pr) and active eq true"#,
                r#"(emails[(type eq "].") and value pr]) and active eq true"#,
            ),
            (
                r#"emails[primary eq true].value  co  "x\" y" or id pr"#,
                r#"emails[(primary eq true) and value  co  "x\" y"] or id pr"#,
            ),
            (r#"emails[type eq "work"] and title pr"#, r#"emails[type eq "work"] and title pr"#),
            (r#"userName eq "a[b].value pr""#, r#"userName eq "a[b].value pr""#),
            ("emails[type pr].", "emails[type pr]."),
            ("a[b", "a[b"),
        ] {
            assert_eq!(with_parts_inside(text).unwrap(), expected);
        }
    }

    #[test]
    fn parentheses_that_end_brackets_are_refused() {
        for text in [
            r#"emails[type eq "a") or (value pr].value eq "x""#,
            r#"emails[(type eq "a"].value eq "x""#,
            r#"emails[].value eq "x""#,
        ] {
            assert!(with_parts_inside(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_not_gets_its_space() {
        for (text, expected) in [
            ("not(active eq true)", "not (active eq true)"),
            ("(NOT(a pr) and not(not(b pr)))", "(NOT (a pr) and not (not (b pr)))"),
            ("emails[not(type pr)]", "emails[not (type pr)]"),
            (r#"a eq "not(" and not(b eq "\"not(")"#, r#"a eq "not(" and not (b eq "\"not(")"#),
            ("not (a pr)", "not (a pr)"),
            ("cannot(a pr)", "cannot(a pr)"),
            ("é(not", "é(not"),
        ] {
            assert_eq!(spaced_not(text), expected);
        }
    }
}
