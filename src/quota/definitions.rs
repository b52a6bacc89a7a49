//! Which quota is whose.

use std::collections::HashMap;
use std::sync::Arc;

use crate::metadata::{EntityName, QuotaEntity};

/// Who a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaClient<'a> {
    /// The principal's name.
    pub user: &'a str,
    /// The client id; may be empty.
    pub client_id: &'a str,
}

/// The quotas of one type, by user and then by client id.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    named: HashMap<Arc<str>, OfUser>,
    by_default: OfUser,
    without_user: OfUser,
}

/// The quotas that are defined for a user, for all others, or without one.
#[derive(Debug, Default)]
struct OfUser {
    clients: HashMap<Arc<str>, f64>,
    each_client: Option<f64>,
    /// For all client ids together.
    together: Option<f64>,
}

/// The quota of one client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Applicable<'a> {
    /// Who shares it: the user and the client id, each empty where all of them do.
    pub(super) shared_by: (&'a str, &'a str),
    pub(super) bound: f64,
}

impl OfUser {
    /// The quota of a client id; clients without one have none of their own, as in Kafka.
    fn of_client_id(&self, client_id: &str) -> Option<f64> {
        if client_id.is_empty() {
            return None;
        }
        self.clients.get(client_id).copied().or(self.each_client)
    }

    fn set(&mut self, client_id: Option<EntityName>, bound: Option<f64>) {
        match client_id {
            None => self.together = bound,
            Some(EntityName::Default) => self.each_client = bound,
            Some(EntityName::Named(name)) => match bound {
                Some(bound) => drop(self.clients.insert(name, bound)),
                None => drop(self.clients.remove(&name)),
            },
        }
    }

    fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.each_client.is_none() && self.together.is_none()
    }
}

impl Definitions {
    /// Defines the quota of an entity, or takes the definition away.
    pub(super) fn set(&mut self, entity: QuotaEntity, bound: Option<f64>) {
        match entity.user {
            None if entity.client_id.is_none() => {}
            None => self.without_user.set(entity.client_id, bound),
            Some(EntityName::Default) => self.by_default.set(entity.client_id, bound),
            Some(EntityName::Named(user)) => {
                let of_user = self.named.entry(user.clone()).or_default();
                of_user.set(entity.client_id, bound);
                if of_user.is_empty() {
                    self.named.remove(&user);
                }
            }
        }
    }

    /// Whether there is no quota at all.
    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.by_default.is_empty() && self.without_user.is_empty()
    }

    /// The quota that counts for a client, in the order of `ClientQuotaManager`: a named user's before those of all
    /// users, and within a user that of the client id, of all client ids each, and of all of them together; last those
    /// of client ids without a user.
    pub(super) fn applicable<'a>(&self, client: QuotaClient<'a>) -> Option<Applicable<'a>> {
        let QuotaClient { user, client_id } = client;
        for of_user in self.named.get(user).into_iter().chain([&self.by_default]) {
            if let Some(bound) = of_user.of_client_id(client_id) {
                return Some(Applicable { shared_by: (user, client_id), bound });
            }
            if let Some(bound) = of_user.together {
                return Some(Applicable { shared_by: (user, ""), bound });
            }
        }
        let bound = self.without_user.of_client_id(client_id)?;
        Some(Applicable { shared_by: ("", client_id), bound })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(user: Option<&str>, client_id: Option<&str>) -> QuotaEntity {
        let name = |name: &str| if name == "*" { EntityName::Default } else { EntityName::Named(name.into()) };
        QuotaEntity { user: user.map(name), client_id: client_id.map(name), ip: None }
    }

    /// Kafka's list, from what counts first on.
    #[test]
    fn the_most_specific_definition_counts() {
        let order = [
            ((Some("u"), Some("c")), ("u", "c")),
            ((Some("u"), Some("*")), ("u", "c")),
            ((Some("u"), None), ("u", "")),
            ((Some("*"), Some("c")), ("u", "c")),
            ((Some("*"), Some("*")), ("u", "c")),
            ((Some("*"), None), ("u", "")),
            ((None, Some("c")), ("", "c")),
            ((None, Some("*")), ("", "c")),
        ];
        let mut definitions = Definitions::default();
        for (bound, ((user, client_id), _)) in (1..).zip(order) {
            definitions.set(entity(user, client_id), Some(f64::from(bound)));
        }
        let client = QuotaClient { user: "u", client_id: "c" };
        for (bound, ((user, client_id), shared_by)) in (1..).zip(order) {
            let expected = Applicable { shared_by, bound: f64::from(bound) };
            assert_eq!(definitions.applicable(client), Some(expected));
            definitions.set(entity(user, client_id), None);
        }
        assert_eq!(definitions.applicable(client), None);
        assert!(definitions.is_empty());
    }

    #[test]
    fn a_definition_is_for_those_that_it_names() {
        let mut definitions = Definitions::default();
        definitions.set(entity(Some("u"), None), Some(1.0));
        definitions.set(entity(None, Some("c")), Some(2.0));
        definitions.set(entity(None, None), Some(3.0));
        let bound = |user, client_id| definitions.applicable(QuotaClient { user, client_id }).map(|quota| quota.bound);
        assert_eq!(bound("u", "x"), Some(1.0));
        assert_eq!(bound("v", "c"), Some(2.0));
        assert_eq!(bound("v", "x"), None);
        assert_eq!(bound("u", ""), Some(1.0), "a client without an id is its user's");
    }

    #[test]
    fn a_client_without_id_has_no_default() {
        let mut definitions = Definitions::default();
        definitions.set(entity(None, Some("*")), Some(1.0));
        assert_eq!(definitions.applicable(QuotaClient { user: "u", client_id: "" }), None);
    }
}
