//! The syntax of a JAAS entry, in which Kafka's SASL mechanisms are configured.

/// One entry: `LoginModule flag option="value" ...;`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JaasEntry {
    /// The Java class, with its package.
    pub(super) login_module: String,
    /// What is said to it, in the order written.
    pub(super) options: Vec<(String, String)>,
}

const FLAGS: &[&str] = &["required", "requisite", "sufficient", "optional"];

impl JaasEntry {
    /// Reads an entry (`JaasConfig` in Kafka).
    ///
    /// Errors: what is missing, as the end of a sentence about the value.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let Some(text) = text.strip_suffix(';') else { return Err("it does not end with a semicolon".to_owned()) };
        let (login_module, rest) = next_word(text).ok_or("it names no login module")?;
        let (flag, mut rest) = next_word(rest).ok_or("it has no control flag, such as required")?;
        if !FLAGS.iter().any(|known| known.eq_ignore_ascii_case(flag)) {
            return Err(format!("its control flag is \"{flag}\", which is none of {}", FLAGS.join(", ")));
        }
        let mut options = Vec::new();
        while !rest.trim_start().is_empty() {
            let (option, after) = next_option(rest.trim_start())?;
            options.push(option);
            rest = after;
        }
        Ok(Self { login_module: login_module.to_owned(), options })
    }
}

fn next_word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    Some(text.split_at(end)).filter(|(word, _)| !word.is_empty())
}

/// `name="value"`, where a backslash keeps the next character as it is, or `name=value`.
fn next_option(text: &str) -> Result<((String, String), &str), String> {
    let (name, rest) = text.split_once('=').ok_or_else(|| format!("\"{text}\" is not of the form option=\"value\""))?;
    let (name, rest) = (name.trim().to_owned(), rest.trim_start());
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (value, rest) = rest.split_at(end);
        return Ok(((name, value.to_owned()), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Ok(((name, value), quoted.get(index + 1..).unwrap_or_default())),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            character => value.push(character),
        }
    }
    Err(format!("the value of {name} has no closing quotation mark"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_names_a_module_and_what_it_is_told() {
        let entry = JaasEntry::parse(
            "org.apache.kafka.common.security.plain.PlainLoginModule required\n username=\"admin\" \
             password=\"a \\\"b\\\" = c;\" user_admin=secret ;",
        )
        .unwrap();
        assert_eq!(entry.login_module, "org.apache.kafka.common.security.plain.PlainLoginModule");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let options = vec![pair("username", "admin"), pair("password", "a \"b\" = c;"), pair("user_admin", "secret")];
        assert_eq!(entry.options, options);
    }

    #[test]
    fn what_is_missing_is_named() {
        let refusal = |text: &str| JaasEntry::parse(text).unwrap_err();
        assert_eq!(refusal("A required"), "it does not end with a semicolon");
        assert_eq!(refusal(" ;"), "it names no login module");
        assert_eq!(refusal("A;"), "it has no control flag, such as required");
        assert!(refusal("A username=\"x\";").contains("control flag is \"username"));
        assert_eq!(refusal("A required a=\"b;"), "the value of a has no closing quotation mark");
        assert!(refusal("A required a;").contains("\"a\" is not of the form"));
    }
}
