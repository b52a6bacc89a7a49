//! The table of APIs against the protocol.

use klamm::api::APIS;

use crate::decode::requests::REQUEST_TYPES;

#[test]
fn versions_are_kafkas_and_every_one_of_them_can_be_answered() {
    for api in APIS {
        let request = REQUEST_TYPES.iter().find(|request| request.key == api.key).expect("a known key");
        assert_eq!(
            (api.min_version, api.max_version),
            (request.versions.min, request.versions.max),
            "{}",
            request.name
        );
        assert!(api.advertised_min_version <= api.min_version, "{}", request.name);
        for version in api.min_version..=api.max_version {
            assert!((request.default_response_encodes)(version), "the answer to {} v{version}", request.name);
        }
    }
}

#[test]
fn rows_are_in_the_order_of_keys() {
    assert!(APIS.is_sorted_by(|one, other| one.key < other.key));
}
