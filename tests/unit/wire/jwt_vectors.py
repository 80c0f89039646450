#!/usr/bin/env python3
"""Makes jwt_vectors.h: keys and tokens for test_jwt.c, test_jwt_attacks.c and the tests of policy/.

    python3 tests/unit/wire/jwt_vectors.py >tests/unit/wire/jwt_vectors.h

Needs the Python package cryptography (another implementation than ours: that is the point). Keys are made
anew each time; the committed file is one run. The examples of RFC 7515 A.1 and A.3 and the key of
RFC 8037 A are checked with that implementation before they are written down.
"""
import base64
import hashlib
import hmac
import json

from cryptography.hazmat.primitives import hashes, serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(n, size=None):
    return b64(n.to_bytes(size or (n.bit_length() + 7) // 8, "big"))


NOW = 1794000000
CLAIMS = {"iss": "https://idp.example", "sub": "ann", "aud": ["shop", "stock"], "exp": NOW + 3600, "iat": NOW - 60,
          "scope": "read write", "email": "ann@example.com", "org": {"unit": {"id": 7}}, "roles": ["a", "b"], "vip": True}
HASH = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
SECRET = bytes(range(1, 65))
rsa_key = rsa.generate_private_key(65537, 2048)
rsa_small = rsa.generate_private_key(65537, 1024)
curves = {"256": ec.generate_private_key(ec.SECP256R1()), "384": ec.generate_private_key(ec.SECP384R1()),
          "512": ec.generate_private_key(ec.SECP521R1())}
other = rsa.generate_private_key(65537, 2048)
ed = ed25519.Ed25519PrivateKey.from_private_bytes(unb64("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"))


def signature(alg, data, key=None):
    size = alg[2:]
    if alg[:2] == "RS":
        return (key or rsa_key).sign(data, padding.PKCS1v15(), HASH[size]())
    if alg[:2] == "PS":
        return rsa_key.sign(data, padding.PSS(padding.MGF1(HASH[size]()), HASH[size]().digest_size), HASH[size]())
    if alg[:2] == "ES":
        half = (curves[size].curve.key_size + 7) // 8
        r, s = utils.decode_dss_signature(curves[size].sign(data, ec.ECDSA(HASH[size]())))
        return r.to_bytes(half, "big") + s.to_bytes(half, "big")
    if alg == "EdDSA":
        return ed.sign(data)
    return hmac.new(key or SECRET, data, getattr(hashlib, "sha" + size)).digest()


def token(alg, claims=CLAIMS, key=None, sign_as=None, **header):
    head = {"alg": alg, "typ": "JWT", **header}
    part = b64(json.dumps(head, separators=(",", ":")).encode()) + "." + b64(json.dumps(claims, separators=(",", ":")).encode())
    return part + "." + b64(signature(sign_as or alg, part.encode(), key))


def jwk_rsa(key, kid, **more):
    n = key.public_key().public_numbers()
    return {"kty": "RSA", "kid": kid, "n": number(n.n), "e": number(n.e), **more}


def jwk_ec(key, kid, crv):
    n, size = key.public_key().public_numbers(), (key.curve.key_size + 7) // 8
    return {"kty": "EC", "kid": kid, "crv": crv, "x": number(n.x, size), "y": number(n.y, size)}


def pem(key):
    return key.public_key().public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)


def private(key):
    return key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())


def define(name, text):
    text = text.decode() if isinstance(text, bytes) else text
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').split("\n")
    lines = [q + "\\n" for q in quoted[:-1]] + ([quoted[-1]] if quoted[-1] or len(quoted) == 1 else [])
    chunks = [line[i:i + 96] for line in lines for i in range(0, len(line), 96)]
    whole = []
    for chunk in chunks:  # never cut an escape in two
        if whole and whole[-1].endswith("\\") and not whole[-1].endswith("\\\\"):
            whole[-1] += chunk
        else:
            whole.append(chunk)
    print(f"static const char {name}[] UNUSED =")
    print("\n".join(f'    "{c}"' for c in whole) + ";")


# What others wrote down, held against the implementation that makes the rest.
A1 = ("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc"
      "19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
A1_KEY = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
A3 = ("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.D"
      "tEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q")
A3_KEY = {"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
          "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}
assert hmac.new(unb64(A1_KEY), A1.rsplit(".", 1)[0].encode(), hashlib.sha256).digest() == unb64(A1.rsplit(".", 1)[1])
raw = unb64(A3.rsplit(".", 1)[1])
ec.EllipticCurvePublicNumbers(*(int.from_bytes(unb64(A3_KEY[c]), "big") for c in "xy"), ec.SECP256R1()).public_key().verify(
    utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")),
    A3.rsplit(".", 1)[0].encode(), ec.ECDSA(hashes.SHA256()))
ed_x = b64(ed.public_key().public_bytes(ser.Encoding.Raw, ser.PublicFormat.Raw))

print("/* Made by jwt_vectors.py; see there. Keys for tests only. */")
print("#ifndef UNIT_JWT_VECTORS_H\n#define UNIT_JWT_VECTORS_H\n")
print('#include "base/def.h"\n')
print(f"#define VEC_NOW_MS {NOW}000LL")
keys = [jwk_rsa(rsa_key, "rsa", use="sig")] + [jwk_ec(curves[s], "es" + s, c) for s, c in (("256", "P-256"), ("384", "P-384"), ("512", "P-521"))]
keys += [{"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": ed_x}]
define("vec_jwks", json.dumps({"keys": keys}))
define("vec_jwks_rsa", json.dumps({"keys": [jwk_rsa(rsa_key, "rsa", alg="RS256", use="sig")]}))
define("vec_jwks_other", json.dumps({"keys": [jwk_rsa(other, "other")]}))
define("vec_jwks_small", json.dumps({"keys": [jwk_rsa(rsa_small, "rsa")]}))
define("vec_jwks_both", json.dumps({"keys": [jwk_rsa(rsa_key, "rsa"), jwk_rsa(other, "other")]}))
define("vec_jwks_secret", json.dumps({"keys": [{"kty": "oct", "kid": "hs" + s, "alg": "HS" + s, "k": b64(SECRET)} for s in ("256", "384", "512")]}))
define("vec_pem_rsa", pem(rsa_key))
define("vec_pem_pkcs1", rsa_key.public_key().public_bytes(ser.Encoding.PEM, ser.PublicFormat.PKCS1))
define("vec_pem_ec", pem(curves["256"]))
define("vec_pem_ed", pem(ed))
define("vec_private_rsa", private(rsa_key))
for s in ("256", "384", "512"):
    define(f"vec_private_es{s}", private(curves[s]))
kids = {"RS": lambda s: "rsa", "PS": lambda s: "rsa", "ES": lambda s: "es" + s, "HS": lambda s: "hs" + s}
for alg in [f + s for f in ("RS", "PS", "ES", "HS") for s in ("256", "384", "512")]:
    define("vec_" + alg.lower(), token(alg, kid=kids[alg[:2]](alg[2:])))
define("vec_eddsa", token("EdDSA", kid="ed"))
define("vec_rs256_no_kid", token("RS256"))
define("vec_rs256_other", token("RS256", key=other, kid="other"))
define("vec_rs256_forged", token("RS256", key=other, kid="rsa"))
define("vec_rs256_small", token("RS256", key=rsa_small, kid="rsa"))
define("vec_rs256_expired", token("RS256", dict(CLAIMS, exp=NOW - 3600), kid="rsa"))
define("vec_rs256_bob", token("RS256", dict(CLAIMS, sub="bob", email="bob@evil.example", scope="read", roles=[], vip=False), kid="rsa"))
define("vec_rs256_elsewhere", token("RS256", dict(CLAIMS, iss="https://other.example"), kid="rsa"))
define("vec_hs256_by_pem", token("HS256", key=pem(rsa_key), kid="rsa"))
define("vec_hs256_by_jwk", token("HS256", key=json.dumps(jwk_rsa(rsa_key, "rsa", use="sig")).encode(), kid="rsa"))
define("vec_hs256_by_n", token("HS256", key=rsa_key.public_key().public_numbers().n.to_bytes(256, "big"), kid="rsa"))
define("vec_hs256_by_ec", token("HS256", key=pem(curves["256"]), kid="es256"))
define("vec_hs256_empty", token("HS256", key=b"\0", kid="rsa").rsplit(".", 1)[0] + "." +
       b64(hmac.new(b"", token("HS256", key=b"\0", kid="rsa").rsplit(".", 1)[0].encode(), hashlib.sha256).digest()))
define("vec_rs256_with_jwk", token("RS256", key=other, kid="rsa", jwk=jwk_rsa(other, "rsa"), jku="http://127.0.0.1:1/keys", x5u="http://127.0.0.1:1/x"))
define("vec_rs256_crit", token("RS256", kid="rsa", crit=["exp"]))
define("vec_rfc7515_a1", A1)
define("vec_rfc7515_a1_jwks", json.dumps({"keys": [{"kty": "oct", "k": A1_KEY}]}))
define("vec_rfc7515_a3", A3)
define("vec_rfc7515_a3_jwks", json.dumps({"keys": [A3_KEY]}))
print("\n#endif")
