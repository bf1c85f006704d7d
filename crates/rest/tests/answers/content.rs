//! Bodies that are not what was asked for.

use crate::*;

#[tokio::test]
async fn what_is_not_the_expected_json_is_malformed() {
    for (body, want) in [
        ("null", "null"),
        ("[]", "sequence"),
        ("\"text\"", "string"),
        ("{} {}", "trailing"),
        ("{}]", "trailing"),
        ("{'a': 1}", "key must be a string"),
        ("OK", "expected value"),
        ("", "empty"),
    ] {
        let error = error_of(&json(body)).await;
        assert!(
            matches!(&error, Error::Malformed { why, .. } if why.contains(want)),
            "{body}: {error:?}"
        );
        assert_eq!(
            (error.class(), error.cause()),
            (Class::Malformed, "malformed")
        );
    }
    for (after, want) in [
        ("]", "expected"),
        ("} garbage", "trailing"),
        (r#", "b": [[["#, "too deeply"),
    ] {
        let after = after.replace("[[[", &"[".repeat(1000));
        let error = error_of(&json(&long(&after))).await;
        assert!(
            matches!(&error, Error::Malformed { why, .. } if why.contains(want)),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_web_page_is_told_from_data_whatever_its_status() {
    let page = "  <html><body>Please log in</body></html>";
    let error = error_of(&answer(
        "200 OK",
        "content-type: application/json\r\n",
        page,
    ))
    .await;
    assert!(matches!(error, Error::Html { .. }), "{error:?}");
    for (status, class) in [
        ("403 Forbidden", Class::Malformed),
        ("502 Bad Gateway", Class::Transient),
    ] {
        let error = refused(status, "", page).await;
        assert_eq!((error.class(), error.cause()), (class, "html"));
        assert!(error.to_string().contains("web page"), "{error}");
    }
    let wire = Wire::answering(&answer("200 OK", "", page)).await;
    let error = get(&http(&wire)).await.unwrap().text().await.unwrap_err();
    assert!(matches!(error, Error::Html { .. }), "{error:?}");
}

#[tokio::test]
async fn nobody_is_sent_elsewhere() {
    let wire = Wire::answering(&answer(
        "302 Found",
        "location: https://else.where/\r\n",
        "",
    ))
    .await;
    let http = http(&wire);
    for request in [http.get(&["a"]), http.post(&["a"])] {
        let error = http
            .send("a", request, Deadline::after(LONG))
            .await
            .err()
            .unwrap();
        assert_eq!(
            (error.class(), error.cause()),
            (Class::Malformed, "redirect")
        );
        assert!(error.to_string().contains("https://else.where/"), "{error}");
    }
    assert_eq!(wire.requests().len(), 2);
}
