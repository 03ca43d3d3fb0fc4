r"""The age v1 file format, on `cryptography` alone: how segments, posters and identity files are sealed.

Why age: footage must outlive this project.  Stock `age`, rage and npm `age-encryption` open these files with the
owner's identity alone.  This docstring gives the part of c2sp.org/age that Doorward writes and reads, exactly enough
for a second implementation.  `‖` joins byte strings.  `b64` is unpadded standard base64, and readers accept only its
canonical form.

File        header ‖ payload.  Binary; one file key (16 random bytes) and one nonce (16 random bytes) for each file.

Header      ASCII, lines ended by one LF, at most 64 KiB (Doorward's bound):

                age-encryption.org/v1
                -> KIND ARGUMENT …          one or more stanzas; words of printable ASCII, one space between
                b64(body)                   in lines of 64 columns, ended by a shorter line, which may be empty
                --- b64(mac)

            mac     = HMAC-SHA-256(HKDF(file key, salt "", info "header"), every byte before the space behind "---")
            HKDF    = HKDF-SHA-256 with 32 bytes of output (RFC 5869)

Stanzas     Each wraps the same file key separately, into a body of 32 bytes: 16 of key, 16 of Poly1305 tag.  Readers
            skip kinds they do not know, refuse malformed ones of their kind, and check the body's length first.

  mlkem768x25519   one argument, b64(enc), enc = 1120 bytes: ML-KEM-768 ciphertext (1088) ‖ X25519 share (32).
            enc, body = HPKE SealBase(recipient, info "age-encryption.org/mlkem768x25519", aad "", file key), RFC 9180
                    with KEM 0x647a MLKEM768-X25519 (X-Wing), KDF 0x0001 HKDF-SHA256, AEAD 0x0003 ChaCha20Poly1305
            KEM shared secret = SHA3-256(ss_mlkem ‖ ss_x25519 ‖ share ‖ recipient's X25519 key ‖ 5c 2e 2f 2f 5e 5c)
            identity = 32 random bytes, Bech32 "AGE-SECRET-KEY-PQ-" in upper case; SHAKE-256(identity), 96 bytes =
                    ML-KEM-768 seed d ‖ z (64, FIPS 203) ‖ X25519 secret (32)
            recipient = ML-KEM-768 encapsulation key (1184) ‖ X25519 public key (32), Bech32 "age1pq"

  X25519    one argument, b64(share), share = X25519(ephemeral secret, base point), RFC 7748
            wrap key = HKDF(X25519(ephemeral secret, recipient), salt = share ‖ recipient,
                            info "age-encryption.org/v1/X25519");  a shared secret of zeros is refused
            body = ChaCha20-Poly1305(wrap key, nonce of 12 zero bytes, file key), RFC 8439
            identity = 32 random bytes, Bech32 "AGE-SECRET-KEY-" in upper case; recipient = its public key, Bech32 "age"

  scrypt    two arguments, b64(16-byte salt) and log2 N in decimal; alone in its header; N ≤ 2^20 when reading
            wrap key = scrypt(passphrase, salt = "age-encryption.org/v1/scrypt" ‖ salt, N, r 8, p 1), RFC 7914
            body as for X25519

Payload     nonce ‖ chunk 0 ‖ chunk 1 ‖ …, key = HKDF(file key, salt = nonce, info "payload").  The plaintext is cut
            into chunks of 65536 bytes.  Only the last may be shorter, and it is empty only if the plaintext is.
            chunk i = ChaCha20-Poly1305(key, i as 11 bytes big-endian ‖ 01 for the last chunk, 00 for others, plaintext)
            without associated data: 65552 bytes, the last one 16 more than its plaintext.

Sizes       A hybrid stanza is 1557 bytes, an X25519 stanza 98, version and MAC lines 70.  A payload of n bytes is
            16 + n + 16 · max(1, ⌈n / 65536⌉): `sealing.sealed_bytes`.

Armor       strict PEM (RFC 7468, figure 3), label AGE ENCRYPTED FILE, for files that travel as text.

Doorward's rules beyond the format: a writer never mixes hybrid recipients with others, because a file is as weak as its
weakest stanza (readers still accept a mix).  An AEAD call takes at most one chunk of 64 KiB, because it holds the
interpreter's lock.  If a file was cut off, only `opening.VerifiedPrefix` opens it, up to its last whole chunk.

Read in this order: `header`, `recipients`, `sealing`; then `opening`, which a device cannot import.
This module has no imports, so that importing one half never brings in the other.

Vectors: the 143 of c2sp.org/CCTV/age, and Doorward's in tests/vectors (segment_x25519, segment_hybrid).
Source: c2sp.org/age; RFC 5869, 7468, 7748, 7914, 8439, 9180; draft-ietf-hpke-pq; FIPS 203; BIP 173.
"""
