//! Properties that Kafka's tools are given: a file of them, and single ones that are stronger. Pure.

use std::collections::BTreeMap;

/// Names and values; of several with one name the last.
#[derive(Debug, Clone, Default)]
pub(super) struct ToolProperties(BTreeMap<String, String>);

impl ToolProperties {
    /// Those of a file, and over them each `name=value`; without `=` the value is empty.
    pub(super) fn new(file: Vec<(String, String)>, pairs: &[String]) -> Self {
        let mut properties = Self(file.into_iter().collect());
        for pair in pairs {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            properties.0.insert(name.to_owned(), value.to_owned());
        }
        properties
    }

    #[cfg(test)]
    pub(super) fn from_pairs(pairs: &[&str]) -> Self {
        Self::new(Vec::new(), &pairs.iter().map(|pair| (*pair).to_owned()).collect::<Vec<_>>())
    }

    /// The value, if there is one.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether the value is `true`, in whatever letters.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_properties_are_stronger_than_the_file() {
        let file = vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())];
        let properties = ToolProperties::new(file, &["a==".to_owned(), "c".to_owned()]);
        let found: Vec<_> = ["a", "b", "c", "d"].map(|name| properties.text(name)).into();
        assert_eq!(found, [Some("="), Some("2"), Some(""), None]);
        assert!(ToolProperties::from_pairs(&["x= True "]).is_true("x") && !properties.is_true("a"));
    }
}
