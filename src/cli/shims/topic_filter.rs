//! Which topics an expression of a tool means (`TopicFilter.IncludeList`).

use regex::Regex;

/// A regular expression of Java's that must match a whole name; several by commas.
#[derive(Debug)]
pub(super) struct TopicFilter(Regex);

impl TopicFilter {
    /// Reads an expression; quotes around it do not belong to it, and spaces mean nothing. The error is Kafka's message.
    pub(super) fn new(expression: &str) -> Result<Self, String> {
        let whole = expression.trim().replace(',', "|").replace(' ', "");
        let whole = whole.trim_matches(['"', '\'']);
        let regex = Regex::new(&format!("^(?:{whole})$"));
        regex.map(Self).map_err(|_| format!("{whole} is an invalid regex."))
    }

    /// Whether the expression means the topic.
    pub(super) fn matches(&self, topic: &str) -> bool {
        self.0.is_match(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_about_whole_names() {
        let matches = |expression: &str, topic: &str| TopicFilter::new(expression).unwrap().matches(topic);
        assert!(matches("o.*|strict", "orders") && matches("o.*|strict", "strict"));
        assert!(!matches("order", "orders") && !matches("a|b", "ab"));
        assert!(matches(" \"a, b\" ", "b") && matches("'a'", "a"));
        assert!(matches("a\\.b", "a.b") && !matches("a\\.b", "a-b"));
    }

    #[test]
    fn what_is_no_expression_is_told() {
        assert_eq!(TopicFilter::new("a(").err().as_deref(), Some("a( is an invalid regex."));
    }
}
