//! Numbers and names as pages write them.

/// A count with its noun: `1 token`, `3,629 tokens`.
pub fn plural(count: u64, one: &str, many: &str) -> String {
    let noun = if count == 1 { one } else { many };
    format!("{} {noun}", grouped(count))
}

/// A number with its thousands set apart: `3,629`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What an avatar shows of a name: the first letters of its first and last word, without what stands
/// in parentheses. A name without letters shows its first character.
pub fn initials(name: &str) -> String {
    let before_parenthesis = name.split_once('(').map_or(name, |(before, _)| before);
    let letters = |text: &str| -> Vec<char> {
        text.split_whitespace().filter_map(|word| word.chars().find(|c| c.is_alphanumeric())).collect()
    };
    let mut found = letters(before_parenthesis);
    if found.is_empty() {
        found = letters(name);
    }
    match found.as_slice() {
        [] => name.trim().chars().next().map_or_else(|| "?".to_owned(), String::from),
        [only] => only.to_uppercase().collect(),
        [first, .., last] => [first, last].into_iter().flat_map(|letter| letter.to_uppercase()).collect(),
    }
}

/// What a client sent, as it can be shown: at most about so many bytes, and whatever would not be seen itself, or
/// would turn around or break what stands beside it, by its number.
pub fn harmless(sent: &str, longest: usize) -> String {
    let mut text = String::new();
    for letter in sent.chars() {
        if text.len() >= longest {
            text.push('…');
            break;
        }
        if is_harmless(letter) { text.push(letter) } else { text.extend(letter.escape_unicode()) }
    }
    text
}

/// Neither a control character, nor one of those that set the direction, nor one that can't be seen.
fn is_harmless(letter: char) -> bool {
    let is_hidden = matches!(letter,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !letter.is_control() && !is_hidden
}

/// The text with a capital at its start.
pub fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}

/// The message of an error as a sentence: they begin small and end without a stop.
pub fn sentence(message: &str) -> String {
    let stop = if message.is_empty() || message.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    format!("{}{stop}", capitalized(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_agree_with_their_noun() {
        for (count, text) in
            [(0, "0 tokens"), (1, "1 token"), (2, "2 tokens"), (999, "999 tokens"), (1000, "1,000 tokens")]
        {
            assert_eq!(plural(count, "token", "tokens"), text);
        }
        assert_eq!(grouped(12_345), "12,345");
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn a_message_becomes_a_sentence() {
        assert_eq!(sentence("there is nothing at this path"), "There is nothing at this path.");
        assert_eq!(sentence("Gone."), "Gone.");
        assert_eq!(sentence(""), "");
    }

    #[test]
    fn what_clients_sent_is_shown_harmlessly() {
        for (sent, shown) in [
            ("/api/jobs?state=ä", "/api/jobs?state=ä"),
            ("a\u{202e}b\u{7}\n\u{200b}c", "a\\u{202e}b\\u{7}\\u{a}\\u{200b}c"),
            ("", ""),
        ] {
            assert_eq!(harmless(sent, 300), shown);
        }
        let long = "🚀".repeat(8_192);
        assert_eq!(harmless(&long, 300), format!("{}…", "🚀".repeat(75)));
        assert_eq!(harmless("12345", 5), "12345");
    }

    #[test]
    fn initials_are_of_the_first_and_last_word() {
        for (name, shown) in [
            ("Mara Lindqvist", "ML"),
            ("Aïcha Benali-Østergård", "AB"),
            ("Maximiliane-Theodora von und zu Hohenlohe-Schillingsfürst", "MH"),
            ("Kundendatenabgleich und Stammdatenpflege (Produktion Frankfurt)", "KS"),
            ("(ops) Deploy", "OD"),
            ("airflow", "A"),
            ("王小明", "王"),
            ("عمر الفاروق عبد الرحمن", "عا"),
            ("🚀 launch-day dashboard", "LD"),
            ("🚀🌙", "🚀"),
            ("ßeta", "SS"),
            ("<script>alert(1)</script>", "S"),
            ("  ", "?"),
            ("", "?"),
        ] {
            assert_eq!(initials(name), shown, "{name}");
        }
    }
}
