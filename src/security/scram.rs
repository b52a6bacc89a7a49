//! SCRAM as RFC 5802 describes it: what is made of a password, and what a server keeps of it to check a client by.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

/// The keys that a server keeps. Neither leads back to the password.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct ServerKeys {
    /// `StoredKey`, by which the server knows a client's proof.
    pub stored_key: Vec<u8>,
    /// `ServerKey`, by which the server proves itself.
    pub server_key: Vec<u8>,
}

/// The hidden form: keys are not for logs.
impl std::fmt::Debug for ServerKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ServerKeys([hidden])")
    }
}

/// An HMAC with its key; one that is longer than a block is taken by its hash.
macro_rules! keyed {
    ($hash:ty, $block_size:literal, $given:expr) => {{
        let given: &[u8] = $given;
        let mut key = [0; $block_size];
        let hashed = (given.len() > key.len()).then(|| <$hash>::digest(given));
        let given = hashed.as_ref().map_or(given, |hashed| hashed.as_slice());
        key.iter_mut().zip(given).for_each(|(place, byte)| *place = *byte);
        Hmac::<$hash>::new((&key).into())
    }};
}

/// Declares what is derived by one hash function, by the size of its blocks: a server's keys, and a salted password.
macro_rules! derivations {
    ($($(#[$keys_doc:meta])* $keys:ident, $(#[$hi_doc:meta])* $hi:ident, $hash:ty, $block_size:literal;)*) => {
        $($(#[$keys_doc])*
        pub fn $keys(salted_password: &[u8]) -> ServerKeys {
            let hmac = keyed!($hash, $block_size, salted_password);
            let answer = |message: &[u8]| hmac.clone().chain_update(message).finalize().into_bytes();
            ServerKeys {
                stored_key: <$hash>::digest(answer(b"Client Key")).to_vec(),
                server_key: answer(b"Server Key").to_vec(),
            }
        }

        $(#[$hi_doc])*
        pub fn $hi(password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
            let hmac = keyed!($hash, $block_size, password);
            let first_block = 1u32.to_be_bytes();
            let mut last = hmac.clone().chain_update(salt).chain_update(first_block).finalize().into_bytes();
            let mut salted = last.to_vec();
            for _ in 1..iterations {
                last = hmac.clone().chain_update(last).finalize().into_bytes();
                salted.iter_mut().zip(&last).for_each(|(sum, byte)| *sum ^= byte);
            }
            salted
        })*
    };
}

derivations! {
    /// The keys of `SCRAM-SHA-256`, from RFC 5802's `SaltedPassword`.
    sha_256_keys,
    /// RFC 5802's `SaltedPassword` for `SCRAM-SHA-256`, which is its `Hi`.
    sha_256_salted, Sha256, 64;
    /// The keys of `SCRAM-SHA-512`, from RFC 5802's `SaltedPassword`.
    sha_512_keys,
    /// RFC 5802's `SaltedPassword` for `SCRAM-SHA-512`, which is its `Hi`.
    sha_512_salted, Sha512, 128;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|place| u8::from_str_radix(&hex[place..place + 2], 16).unwrap()).collect()
    }

    /// The example of RFC 7677: the password `pencil`, salted 4,096 times.
    #[test]
    fn the_keys_of_the_example_are_right() {
        let keys = sha_256_keys(&bytes("c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d"));
        let stored_key = bytes("586e5df283e6dceb5c3e791d8b8528ec191e664045ce971792e2e6b5bb13e2a6");
        let server_key = bytes("c1f3cbc1c13a9d35a14c0990eed97629ea225863e566a4314ab99f3f00e5d9d5");
        assert_eq!(keys, ServerKeys { stored_key, server_key });
    }

    #[test]
    fn the_same_password_by_the_longer_hash() {
        let keys = sha_512_keys(&bytes(
            "f16efe1be67f1d09502ebd5ed9262fddffba5a377ab4f0b687e5ed5ba0f50686\
             b8a4ae166476da8ab3b951d2fa9238b63998f45461bc33a464814949cec9631d",
        ));
        let stored_key = bytes(
            "e8002e6f7d3ae446119b216933644dc2a2be7869eb918b8459b5e7d7d2ec1260\
             6aceef106825cd735170a675fd3611f684affad1dce3f43a0ee43bd590e1dbbe",
        );
        let server_key = bytes(
            "8d91db6230b5687874fe129bc7206e1858c3ae08e02934f57ac03b6b05a229c4\
             59d28ff46f5c9611e6c179256490215ec1ff759cb0df285db89af0f99e613aac",
        );
        assert_eq!(keys, ServerKeys { stored_key, server_key });
        assert_eq!(format!("{keys:?}"), "ServerKeys([hidden])");
    }

    #[test]
    fn the_password_of_the_example_is_salted_as_there() {
        // The salt is the example's, in Base64 `W22ZaJ0SNY7soEsUEjb6gQ==`.
        let salt = bytes("5b6d99689d12358eeca04b141236fa81");
        let salted = bytes("c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d");
        assert_eq!(sha_256_salted(b"pencil", &salt, 4096), salted);
        assert_eq!(sha_512_salted(b"pencil", &salt, 1).len(), 64);
        assert_ne!(sha_512_salted(b"pencil", &salt, 1), sha_512_salted(b"pencil", &salt, 2));
    }

    #[test]
    fn any_password_has_keys() {
        for length in [0, 1, 64, 65, 129, 1000] {
            assert_eq!(sha_256_keys(&vec![7; length]).stored_key.len(), 32);
            assert_eq!(sha_512_keys(&vec![7; length]).server_key.len(), 64);
        }
    }
}
