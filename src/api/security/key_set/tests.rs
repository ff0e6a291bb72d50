//! Each row was shown to Envoy 1.40 (`--mode validate`), and is judged here as it judged.

use serde_json::{Value, json};

use super::check;

const MODULUS: &str = concat!(
    "jcvidFBpYYI42_SuCagdd8Yp54Qjo8vs0O8srmzEuEpOlXAEsIPd4YSQcS2t9SGgOawyaBTG5TaEbyw1bhmX5yUVyiFC",
    "hE6KczhaoR0hq7dh00TqJ2s-cQ4mogIUaklmNVpYgWDI4S7lCXbFVx-YxBR15xLQg7O-TDDvURZzs4pseTEsbx5MF-H8",
    "EJwN22JC-slJSqybvPKh93v8KGBvX0OvDvlTKTaUL2KTY3NWNUxDBfh0gQicAIJxhnYFflWyxCnb72MQec3tncmlFHNM",
    "J92IjnRGSSAAAEoGnO9UnWcdrl_QOgENQbLffEiYu1E0lRXqbdTbR-OTE-CV5p2kkQ",
);
/// The points that generate the groups (SP 800-186 §3.2.1): curve, x, y.
const POINTS: [[&str; 3]; 3] = [
    [
        "P-256",
        "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
        "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU",
    ],
    [
        "P-384",
        "qofKIr6LBTeOscce8yCtdG4dO2KLp5uYWfdB4IJUKjhVAvJdv1UpbDpUXjhydgq3",
        "NhfeSpYmLG9dnpi_kpLcKfj0Hb0omhR86doxE7XwuMAKYLHOHX6BnXpDHXyQ6g5f",
    ],
    [
        "P-521",
        "AMaFjga3BATpzZ4-y2YjlbRCnGSBOQU_tSH4KK9ga009uqFLXnfv51ko_h3BJ6L_qN4zSLPBhWpCm_l-fjHC5b1m",
        "ARg5KWp4mjvABFyKX7QsfRvZmPVESVebRGgXr70XJz5mLJfucple9CZAxVC5AT-tB2E1PHCGonLCQIi-lHaf0WZQ",
    ],
];

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// A good key with these members instead; `null` takes one away.
fn changed(mut key: Value, over: &Value) -> Value {
    let members = key.as_object_mut().expect("a key");
    for (name, value) in over.as_object().expect("members") {
        match value {
            Value::Null => drop(members.remove(name)),
            other => drop(members.insert(name.clone(), other.clone())),
        }
    }
    key
}

fn good() -> Value {
    json!({"kty": "RSA", "n": MODULUS, "e": "AQAB"})
}

fn rsa(over: Value) -> String {
    set(&[changed(good(), &over)])
}

fn elliptic(over: Value) -> String {
    let [curve, x, y] = POINTS[0];
    let key = json!({"kty": "EC", "crv": curve, "x": x, "y": y});
    set(&[changed(key, &over)])
}

fn pair(over: Value) -> String {
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43)});
    set(&[changed(key, &over)])
}

fn secret(over: Value) -> String {
    set(&[changed(json!({"kty": "oct", "k": "YQ"}), &over)])
}

#[test]
fn what_envoy_uses_is_usable() {
    let in_it = |text: &str| {
        let key = good().to_string();
        format!("{{\"keys\":[{key}],{text}}}")
    };
    let mut rows = vec![
        set(&[json!({"kty": "x"}), good(), json!(7)]),
        rsa(json!({"e": "Aw"})),
        rsa(json!({"e": "AAEAAQ"})),
        rsa(json!({"alg": "RSfoo"})),
        rsa(json!({"alg": 7})),
        rsa(json!({"alg": ""})),
        rsa(json!({"d": "AA"})),
        rsa(json!({"n": format!("{MODULUS}==")})),
        rsa(json!({"n": format!("{MODULUS}..")})),
        rsa(json!({"n": format!("{} \n{}", &MODULUS[..20], &MODULUS[20..])})),
        rsa(json!({"n": format!("{}1", "_".repeat(85))})),
        elliptic(json!({"crv": null})),
        elliptic(json!({"crv": ""})),
        elliptic(json!({"crv": null, "alg": "ES256"})),
        elliptic(json!({"x": format!("AAAA{}", POINTS[0][1])})),
        secret(json!({})),
        secret(json!({"alg": "HS256"})),
        pair(json!({})),
        pair(json!({"alg": "EdDSA"})),
        format!("\n\t {} \r\n", rsa(json!({}))),
        in_it("\"z\":123456789012345678901234567890"),
        in_it("\"\\u0000\":-0.0e-400"),
        in_it(&format!("\"z\":{}{}", "[".repeat(99), "]".repeat(99))),
    ];
    for [curve, x, y] in POINTS {
        rows.push(elliptic(json!({"crv": curve, "x": x, "y": y})));
    }
    for row in rows {
        assert_eq!(check(&row), Ok(()), "{row}");
    }
}

#[test]
fn what_envoy_would_refuse_is_not_and_it_is_said_why() {
    let [_, x, y] = POINTS[0];
    let twice = |text: &str| format!("{{{text}\"keys\":[{}]}}", good());
    for (row, reason) in [
        (String::new(), "is no JSON"),
        (" ".to_owned(), "is no JSON"),
        ("nope".to_owned(), "is no JSON"),
        (format!("{} x", rsa(json!({}))), "is no JSON"),
        (format!("\u{feff}{}", rsa(json!({}))), "is no JSON"),
        (twice("\"z\":1e309,"), "is no JSON"),
        (twice("\"keys\":[],"), "\"keys\" is there twice"),
        (twice("\"z\":{\"a\":1,\"a\":2},"), "\"a\" is there twice"),
        (
            twice(&format!("\"z\":{}{},", "[".repeat(100), "]".repeat(100))),
            "deeper than 100",
        ),
        ("[]".to_owned(), "is no JSON object"),
        ("null".to_owned(), "is no JSON object"),
        ("\"a\"".to_owned(), "is no JSON object"),
        ("{}".to_owned(), "has no list of keys"),
        ("{\"keys\":null}".to_owned(), "has no list of keys"),
        ("{\"keys\":{}}".to_owned(), "has no list of keys"),
        (good().to_string(), "has no list of keys"),
        (set(&[]), "has no keys"),
        (set(&[json!(7)]), "key 0 is no object"),
        (set(&[json!({})]), "key 0 has no kty"),
        (
            set(&[json!({"kty": 7})]),
            "key 0 has a member kty that is no text",
        ),
        (set(&[json!({"kty": "AKP"})]), "key 0 is of kind \"AKP\""),
        (rsa(json!({"n": null})), "has no n"),
        (
            rsa(json!({"n": [MODULUS]})),
            "has a member n that is no text",
        ),
        (rsa(json!({"n": ""})), "no modulus (0 bits)"),
        (rsa(json!({"n": format!("{MODULUS}=")})), "no base64url"),
        (rsa(json!({"n": format!("{MODULUS}!")})), "no base64url"),
        (rsa(json!({"n": MODULUS.replace('-', "+")})), "no base64url"),
        (
            rsa(json!({"n": format!("{}A", "_".repeat(85))})),
            "no modulus",
        ),
        (
            rsa(json!({"n": format!("H{}1", "_".repeat(84))})),
            "(509 bits)",
        ),
        (
            rsa(json!({"n": format!("AQ{}", "_".repeat(2730))})),
            "no modulus",
        ),
        (rsa(json!({"e": "BQ"})), "another e"),
        (rsa(json!({"e": ""})), "another e"),
        (rsa(json!({"alg": "ES256"})), "has alg \"ES256\""),
        (rsa(json!({"alg": "R"})), "has alg \"R\""),
        (elliptic(json!({"crv": "P-1"})), "has crv \"P-1\""),
        (
            elliptic(json!({"crv": "P-1", "alg": "ES256"})),
            "has crv \"P-1\"",
        ),
        (
            elliptic(json!({"crv": 7})),
            "has a member crv that is no text",
        ),
        (elliptic(json!({"crv": "P-521"})), "no point of P-521"),
        (elliptic(json!({"alg": "ES384"})), "with alg \"ES384\""),
        (
            elliptic(json!({"crv": null, "alg": "ESfoo"})),
            "with alg \"ESfoo\"",
        ),
        (elliptic(json!({"x": y, "y": x})), "no point of P-256"),
        (elliptic(json!({"x": "", "y": ""})), "no point of P-256"),
        (elliptic(json!({"y": null})), "has no y"),
        (secret(json!({"k": ""})), "has an empty k"),
        (secret(json!({"k": "Y"})), "no base64url"),
        (secret(json!({"alg": "RS256"})), "has alg \"RS256\""),
        (pair(json!({"x": "AAAA"})), "an x of 3 bytes"),
        (pair(json!({"x": "/".repeat(43)})), "no base64url"),
        (pair(json!({"crv": "X25519"})), "has crv \"X25519\""),
        (pair(json!({"crv": null})), "has no crv"),
        (pair(json!({"alg": "Ed25519"})), "has alg \"Ed25519\""),
    ] {
        let said = check(&row).expect_err(&row);
        assert!(said.contains(reason), "{row}: {said}, expected {reason}");
        assert!(said.contains("expected a JSON Web Key Set"), "{said}");
    }
    let many = set(&vec![json!({"kty": "x"}); 9]);
    let said = check(&many).expect_err("none of them");
    assert!(said.contains("key 2 is of kind \"x\", 6 more,"), "{said}");
}
