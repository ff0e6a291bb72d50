use super::{all, parse};

#[test]
fn a_header_is_split_at_its_first_colon() {
    let (name, value) = parse("X-Time: 12:30").unwrap();
    assert_eq!(
        (name.as_str(), value.to_str().unwrap()),
        ("x-time", "12:30")
    );
    for text in ["novalue", ": x", "a b: c"] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_name_given_twice_is_sent_twice() {
    let given = ["a: 1", "a: 2"].map(|text| parse(text).unwrap());
    assert_eq!(all(given.to_vec()).get_all("a").iter().count(), 2);
}
