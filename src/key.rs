//! The master key: made on first start, kept in a file only we may read; everything that is signed or sealed derives from it.

use std::{
    fmt,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{XChaCha20Poly1305, XNonce, aead::Aead};
use hmac::{Hmac, KeyInit, Mac};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

const BYTES: usize = 32;
/// Of XChaCha20.
const NONCE: usize = 24;

type Bytes = [u8; BYTES];

/// The key, and those it replaced that still count. `Debug` shows nothing of them.
#[derive(Clone)]
pub struct MasterKey {
    current: Arc<Bytes>,
    /// What was sealed or signed with one of them still opens, and is still valid.
    previous: Arc<[Bytes]>,
}

/// What became of something sealed when it was to be sealed with the current key.
#[derive(Debug, PartialEq, Eq)]
pub enum Resealed {
    /// It is already.
    Current,
    Anew(Vec<u8>),
    /// No key here opens it.
    Unreadable,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

impl MasterKey {
    /// Reads the key file; where none is configured, the one beside the database, made if it is not there.
    ///
    /// # Errors
    /// In words: which file, what is wrong, what to do.
    pub fn load_or_make(configured: Option<&Path>, database: &Path) -> Result<Self, String> {
        let path = configured.map_or_else(|| beside(database), Path::to_owned);
        match std::fs::read(&path) {
            Ok(bytes) => decode(&bytes).map(Self::of).ok_or_else(|| {
                format!(
                    "key file {}: must hold 64 hexadecimal digits, as `openssl rand -hex 32` prints",
                    path.display()
                )
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::make(&path),
            Err(error) => Err(format!("key file {}: {error}", path.display())),
        }
    }

    /// Reads the key file of a node among several. None is made for it: each would make another, and could not read what
    /// the others sealed.
    ///
    /// # Errors
    /// In words: which file, what is wrong, what to do.
    pub fn load_shared(path: &Path) -> Result<Self, String> {
        if path.exists() {
            return Self::load_or_make(Some(path), path);
        }
        let path = path.display();
        Err(format!("key file {path}: is not there; make one with `openssl rand -hex 32` and give every node the same"))
    }

    /// With keys that it replaced, by their files.
    ///
    /// # Errors
    /// In words: which file, what is wrong.
    pub fn with_previous(self, files: &[PathBuf]) -> Result<Self, String> {
        let read = |path: &PathBuf| {
            let bytes =
                std::fs::read(path).map_err(|error| format!("previous key file {}: {error}", path.display()))?;
            decode(&bytes)
                .ok_or_else(|| format!("previous key file {}: must hold 64 hexadecimal digits", path.display()))
        };
        let previous = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { current: self.current, previous: previous.into() })
    }

    /// Whether there is more than the current one.
    pub fn has_previous(&self) -> bool {
        !self.previous.is_empty()
    }

    /// Reads the key file, if there is one yet.
    pub fn load(configured: Option<&Path>, database: &Path) -> Option<Self> {
        let path = configured.map_or_else(|| beside(database), Path::to_owned);
        decode(&std::fs::read(path).ok()?).map(Self::of)
    }

    fn of(bytes: Bytes) -> Self {
        Self { current: Arc::new(bytes), previous: Arc::default() }
    }

    fn all(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&*self.current).chain(self.previous.iter())
    }

    fn make(path: &Path) -> Result<Self, String> {
        let bytes: Bytes = random()?;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let wrong = |error: std::io::Error| format!("key file {}: cannot be made: {error}", path.display());
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(wrong)?;
        file.write_all(hex.as_bytes()).and_then(|()| file.sync_all()).map_err(wrong)?;
        Ok(Self::of(bytes))
    }

    /// A signature over `parts` for one `purpose`; parts are told apart by their lengths.
    pub fn sign(&self, purpose: &str, parts: &[&str]) -> String {
        hex(&self.derive(purpose, parts))
    }

    /// The bytes of such a signature: a secret that need not be stored. 128 bits are beyond guessing, and short enough to
    /// be pasted.
    pub fn derive(&self, purpose: &str, parts: &[&str]) -> [u8; 16] {
        derived(&self.current, purpose, parts)
    }

    /// The same, and as previous keys made them: what was given out then and is still taken.
    pub fn derive_all(&self, purpose: &str, parts: &[&str]) -> Vec<[u8; 16]> {
        self.all().map(|key| derived(key, purpose, parts)).collect()
    }

    /// Whether `signature` is [`MasterKey::sign`]'s, or was when a previous key was the current one; compared in constant
    /// time.
    pub fn verify(&self, purpose: &str, parts: &[&str], signature: &str) -> bool {
        use subtle::{Choice, ConstantTimeEq};
        let same = |key| hex(&derived(key, purpose, parts)).as_bytes().ct_eq(signature.as_bytes());
        self.all().fold(Choice::from(0), |fits, key| fits | same(key)).into()
    }

    /// Encrypts `plain` for one `purpose` and these `parts`: what is sealed for one integration opens for no other.
    /// XChaCha20-Poly1305, a random nonce of 24 bytes before the text.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn seal(&self, purpose: &str, parts: &[&str], plain: &[u8]) -> Result<Vec<u8>, String> {
        let nonce: [u8; NONCE] = random()?;
        let cipher = cipher(&self.current, purpose, parts);
        let text = cipher.encrypt(&XNonce::from(nonce), plain).map_err(|_| "cannot be sealed".to_owned())?;
        Ok([&nonce[..], &text].concat())
    }

    /// Decrypts what [`MasterKey::seal`] made, with the first key that fits. `None`: another key, other parts, or it was
    /// altered.
    pub fn open(&self, purpose: &str, parts: &[&str], sealed: &[u8]) -> Option<Vec<u8>> {
        self.all().find_map(|key| opened(key, purpose, parts, sealed))
    }

    /// Seals with the current key what was sealed with a previous one.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn reseal(&self, purpose: &str, parts: &[&str], sealed: &[u8]) -> Result<Resealed, String> {
        if opened(&self.current, purpose, parts, sealed).is_some() {
            return Ok(Resealed::Current);
        }
        match self.open(purpose, parts, sealed) {
            Some(plain) => Ok(Resealed::Anew(self.seal(purpose, parts, &plain)?)),
            None => Ok(Resealed::Unreadable),
        }
    }
}

fn decode(text: &[u8]) -> Option<Bytes> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let mut bytes = [0; BYTES];
    if text.len() != 2 * BYTES || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn derived(key: &Bytes, purpose: &str, parts: &[&str]) -> [u8; 16] {
    let tag = mac(key, purpose, parts).finalize().into_bytes();
    std::array::from_fn(|at| tag[at])
}

fn cipher(key: &Bytes, purpose: &str, parts: &[&str]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&mac(key, purpose, parts).finalize().into_bytes())
}

fn opened(key: &Bytes, purpose: &str, parts: &[&str], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, text) = sealed.split_at_checked(NONCE)?;
    let nonce: [u8; NONCE] = nonce.try_into().ok()?;
    cipher(key, purpose, parts).decrypt(&XNonce::from(nonce), text).ok()
}

fn mac(key: &Bytes, purpose: &str, parts: &[&str]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in std::iter::once(&purpose).chain(parts) {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    mac
}

/// Random bytes from the system.
///
/// # Errors
/// When it gives none.
pub fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system gives no random numbers".to_owned())?;
    Ok(bytes)
}

/// `N` random bytes as text: a secret that is given out, and cannot be guessed.
///
/// # Errors
/// When the system gives none.
pub fn token<const N: usize>() -> Result<String, String> {
    Ok(URL_SAFE_NO_PAD.encode(random::<N>()?))
}

/// What is kept of a secret that was given out: enough to know it again.
pub fn hash(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn beside(database: &Path) -> PathBuf {
    let mut name = database.file_name().unwrap_or_default().to_owned();
    name.push(".key");
    database.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_read_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let database = dir.path().join("patchbay.db");
        let made = MasterKey::load_or_make(None, &database).expect("made");
        let read = MasterKey::load_or_make(None, &database).expect("read");
        assert_eq!(made.sign("a", &["b"]), read.sign("a", &["b"]));
        assert_eq!(format!("{made:?}"), "MasterKey(***)");
    }

    #[test]
    fn a_signature_is_for_one_purpose_and_these_parts() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = MasterKey::load_or_make(None, &dir.path().join("x.db")).expect("made");
        let signature = key.sign("recording", &["a", "bc"]);
        assert!(key.verify("recording", &["a", "bc"], &signature));
        assert!(!key.verify("recording", &["ab", "c"], &signature));
        assert!(!key.verify("other", &["a", "bc"], &signature));
        assert!(!key.verify("recording", &["a", "bc"], &signature[1..]));
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_for_the_same_parts_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = MasterKey::load_or_make(None, &dir.path().join("x.db")).expect("made");
        let other = MasterKey::load_or_make(None, &dir.path().join("y.db")).expect("made");
        let mut sealed = key.seal("token", &["a", "b"], b"text").expect("sealed");
        assert_ne!(sealed, key.seal("token", &["a", "b"], b"text").expect("sealed"), "the nonce is another each time");
        assert_eq!(key.open("token", &["a", "b"], &sealed).as_deref(), Some(&b"text"[..]));
        assert_eq!(key.open("token", &["a", "c"], &sealed), None);
        assert_eq!(key.open("consent", &["a", "b"], &sealed), None);
        assert_eq!(other.open("token", &["a", "b"], &sealed), None);
        let last = sealed.len() - 1;
        sealed[last] ^= 1;
        assert_eq!(key.open("token", &["a", "b"], &sealed), None);
        assert_eq!(key.open("token", &["a", "b"], b"short"), None);
    }

    #[test]
    fn a_previous_key_still_opens_and_counts_as_long_as_it_is_listed() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = |name: &str| dir.path().join(name);
        let made = |name: &str| MasterKey::load_or_make(Some(&file(name)), &file("x.db")).expect("made");
        let (old, alone) = (made("old"), made("new"));
        let both = made("new").with_previous(&[file("old")]).expect("read");
        let sealed = old.seal("token", &["a"], b"text").expect("sealed");
        let signature = old.sign("link", &["a"]);
        assert!(both.has_previous() && !alone.has_previous());
        assert_eq!(both.open("token", &["a"], &sealed).as_deref(), Some(&b"text"[..]));
        assert!(both.verify("link", &["a"], &signature) && !alone.verify("link", &["a"], &signature));
        assert_eq!(both.derive_all("uid", &["a"]), [alone.derive("uid", &["a"]), old.derive("uid", &["a"])]);
        assert_eq!(both.sign("link", &["a"]), alone.sign("link", &["a"]));
        let Ok(Resealed::Anew(anew)) = both.reseal("token", &["a"], &sealed) else { panic!("it is the old key's") };
        assert_eq!(alone.open("token", &["a"], &anew).as_deref(), Some(&b"text"[..]));
        assert_eq!(old.open("token", &["a"], &anew), None);
        assert_eq!(both.reseal("token", &["a"], &anew), Ok(Resealed::Current));
        assert_eq!(alone.reseal("token", &["a"], &sealed), Ok(Resealed::Unreadable));
        let error = alone.with_previous(&[file("none")]).expect_err("refused");
        assert!(error.contains("previous key file"), "{error}");
    }

    #[test]
    fn a_broken_key_file_is_told_with_its_cure() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key");
        std::fs::write(&path, "nonsense").expect("written");
        let error = MasterKey::load_or_make(Some(&path), &dir.path().join("x.db")).expect_err("refused");
        assert!(error.contains("64 hexadecimal digits"), "{error}");
    }
}
