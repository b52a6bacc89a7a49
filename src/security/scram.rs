//! SCRAM as RFC 5802 describes it: what a server keeps of a password, by which it checks a client.

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

/// Declares the derivation by one hash function and the size of its blocks.
macro_rules! server_keys {
    ($($(#[$doc:meta])* $name:ident, $hash:ty, $block_size:literal;)*) => {
        $($(#[$doc])*
        pub fn $name(salted_password: &[u8]) -> ServerKeys {
            let mut key = [0; $block_size];
            // HMAC takes a key that is longer than a block by its hash.
            let hashed = (salted_password.len() > key.len()).then(|| <$hash>::digest(salted_password));
            let given = hashed.as_ref().map_or(salted_password, |hashed| hashed.as_slice());
            key.iter_mut().zip(given).for_each(|(place, byte)| *place = *byte);
            let hmac = |message: &[u8]| {
                Hmac::<$hash>::new((&key).into()).chain_update(message).finalize().into_bytes()
            };
            ServerKeys {
                stored_key: <$hash>::digest(hmac(b"Client Key")).to_vec(),
                server_key: hmac(b"Server Key").to_vec(),
            }
        })*
    };
}

server_keys! {
    /// The keys of `SCRAM-SHA-256`, from RFC 5802's `SaltedPassword`.
    sha_256_keys, Sha256, 64;
    /// The keys of `SCRAM-SHA-512`, from RFC 5802's `SaltedPassword`.
    sha_512_keys, Sha512, 128;
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
    fn any_password_has_keys() {
        for length in [0, 1, 64, 65, 129, 1000] {
            assert_eq!(sha_256_keys(&vec![7; length]).stored_key.len(), 32);
            assert_eq!(sha_512_keys(&vec![7; length]).server_key.len(), 64);
        }
    }
}
