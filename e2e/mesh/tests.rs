use serde_json::json;

use super::{sample, superfluous};

#[test]
fn what_the_sample_does_not_have_is_taken_away_where_it_stands() {
    let mut found = sample();
    assert_eq!(superfluous(&found, &sample()), None);
    found["meshConfig"]["extensionProviders"] = json!([]);
    found["values"] = json!({"pilot": {"env": {}}});
    found["profile"] = json!("minimal");
    let expected = json!({"meshConfig": {"extensionProviders": null}, "values": null});
    assert_eq!(superfluous(&found, &sample()), Some(expected));
}
