//! Events, followed.

use dashboard::history::History;
use dashboard::tokens::Role;
use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::Value;

use crate::dashboard::{Dashboard, Live, SIZE};
use crate::support::story::Teller;
use crate::support::write;

/// What an event is known by, whatever file it came from.
fn known_by(data: &Value) -> String {
    let part = |name: &str| data[name].to_string();
    [part("cycle"), part("machine"), part("kind"), part("word")].join(" ")
}

/// The next events but for where they begin, so many.
async fn take(live: &mut Live, count: usize) -> Vec<(String, Value)> {
    let mut events = Vec::new();
    while events.len() < count {
        let (id, data) = live.event().await.expect("it goes on");
        if !data.is_null() {
            events.push((id, data));
        }
    }
    events
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_comes_twice_however_often_one_is_cut_off() {
    let mut teller = Teller::new(21);
    let story = teller.story(SIZE);
    let (before, later) = story.split_at(story.len() / 3);
    let mut dashboard = Dashboard::start(before).await;
    let list = dashboard.json("/api/v1/events?limit=1").await;
    let listed = list["last_event_id"].as_str().unwrap().to_owned();

    let mut live = dashboard.follow("", None).await;
    assert_eq!(live.answer.status(), StatusCode::OK);
    assert_eq!(live.answer.headers()[CONTENT_TYPE], "text/event-stream");
    let (mut last, data) = live.event().await.unwrap();
    assert_eq!((&last, data), (&listed, Value::Null), "it begins with now");
    // Cut off before anything came.
    drop(live);

    let mut came = Vec::new();
    for (number, events) in later.chunks(later.len().div_ceil(7)).enumerate() {
        write(&mut dashboard.writer, events, 40);
        // What is known already, or known earlier, is not sent again.
        write(&mut dashboard.writer, &teller.muddled(&events[..3]), 1);
        dashboard.tell();
        let mut live = dashboard.follow("", Some(&last)).await;
        // Cut off in the middle, twice of three times.
        let count = match number % 3 {
            0 => events.len() + usize::from(number > 0) * 10,
            _ => events.len() - 5,
        };
        let some = take(&mut live, count).await;
        last = some.last().unwrap().0.clone();
        came.extend(some);
    }
    let mut live = dashboard.follow("", Some(&last)).await;
    came.extend(take(&mut live, later.len() - came.len()).await);
    let expected: Vec<String> = {
        let all = dashboard.json("/api/v1/events?limit=1000").await;
        let all = all["items"].as_array().unwrap().clone();
        assert_eq!(all.len(), story.len());
        let mut new: Vec<String> = all.iter().map(known_by).collect();
        let known = History::open(&dashboard.file("before.db")).unwrap();
        let (history, mut writer) = known;
        write(&mut writer, before, 1000);
        let old = history.read(|reading| reading.events(&Default::default(), None, 1000));
        for event in old.unwrap().page.items {
            let event = known_by(&serde_json::to_value(event).unwrap());
            new.retain(|known| *known != event);
        }
        new
    };
    let mut came: Vec<String> = came.iter().map(|(_, data)| known_by(data)).collect();
    let mut expected = expected;
    came.sort();
    expected.sort();
    assert_eq!(came, expected);
}

#[tokio::test]
async fn what_is_followed_passes_the_filter_of_the_list() {
    let mut dashboard = Dashboard::start(&[]).await;
    let mut live = dashboard.follow("?rack=r1&kind=job.finished", None).await;
    let (begin, _) = live.event().await.unwrap();
    write(&mut dashboard.writer, &Teller::new(22).story(SIZE), 100);
    dashboard.tell();
    let list = dashboard
        .json("/api/v1/events?rack=r1&kind=job.finished&limit=1000")
        .await;
    let listed = list["items"].as_array().unwrap();
    let mut came = take(&mut live, listed.len()).await;
    let mut again = dashboard
        .follow(
            &format!("?rack=r1&kind=job.finished&last_event_id={begin}"),
            None,
        )
        .await;
    assert_eq!(take(&mut again, listed.len()).await, came);
    // What came last counts more than what the address said at first.
    let (last, _) = came[listed.len() / 2].clone();
    let address = format!("?last_event_id={begin}");
    let mut again = dashboard.follow(&address, Some(&last)).await;
    assert_eq!(again.event().await.unwrap(), (last, Value::Null));
    came.sort_by_key(|(_, data)| data["at"].to_string());
    let mut listed = listed.clone();
    listed.sort_by_key(|data| data["at"].to_string());
    let came: Vec<Value> = came.into_iter().map(|(_, data)| data).collect();
    assert_eq!(came, listed);
}

#[tokio::test]
async fn after_an_event_of_another_file_comes_what_happened_since() {
    let story = Teller::new(23).story(SIZE);
    let dashboard = Dashboard::start(&story).await;
    let other = Dashboard::start(&story).await;
    let mut live = dashboard.follow("", None).await;
    let (begin, _) = live.event().await.unwrap();
    drop(live);
    // The newest event of the one is what the other begins with.
    let mut live = other.follow("", Some(&begin)).await;
    let (_, data) = take(&mut live, 1).await.remove(0);
    let newest = story.iter().map(|event| event.time).max().unwrap();
    assert_eq!(data["at"], newest.to_string());
}

#[tokio::test]
async fn who_is_cut_off_while_a_history_is_made_anew_gets_nothing_again() {
    let story = Teller::new(25).story(SIZE);
    let part = |from: usize, to: usize| &story[story.len() * from / 6..story.len() * to / 6];
    let mut first = Dashboard::start(&[]).await;
    let mut live = first.follow("", None).await;
    write(&mut first.writer, part(0, 3), 100);
    first.tell();
    let (last, _) = take(&mut live, part(0, 3).len()).await.pop().unwrap();
    let since = part(0, 3).last().unwrap().time;

    // Its file is lost, and another is being made: this much of the stream is read so far.
    let mut anew = Dashboard::start(part(0, 2)).await;
    let mut live = anew.follow("", Some(&last)).await;
    let (again, _) = live.event().await.unwrap();
    assert_eq!(again, last, "who comes and goes at once is where they were");
    write(&mut anew.writer, part(2, 4), 100);
    anew.tell();
    let mut came = take(&mut live, 3).await;
    drop(live);
    let mut live = anew.follow("", Some(&came[2].0)).await;
    write(&mut anew.writer, part(4, 5), 100);
    anew.tell();
    came.extend(take(&mut live, 3).await);
    // All of it is known now, and what is older and told only now is news.
    write(&mut anew.writer, part(5, 6), 100);
    anew.writer.note_whole().unwrap();
    let late = Teller::new(26).since("2026-10-01T00:00:00Z".parse().unwrap());
    let late = { late }.round(0, SIZE);
    write(&mut anew.writer, &late, 100);
    anew.tell();
    drop(live);
    let mut live = anew.follow("", Some(&came[5].0)).await;
    let expected: Vec<_> = story.iter().filter(|event| event.time >= since).collect();
    let missing = expected.len() + late.len() - came.len();
    came.extend(take(&mut live, missing).await);
    let came: Vec<_> = came.iter().map(|(_, data)| data["at"].clone()).collect();
    let expected = expected.into_iter().chain(&late);
    let expected: Vec<Value> = expected
        .map(|event| event.time.to_string().into())
        .collect();
    assert_eq!(came, expected);
}

#[tokio::test]
async fn who_may_not_read_any_more_hears_no_more() {
    let dashboard = Dashboard::start_for(&[], false).await;
    let answer = dashboard.follow("", None).await.answer;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let token = dashboard
        .tokens
        .add("ann", Role::Viewer, Timestamp::now())
        .unwrap();
    let url = format!("http://{}/api/v1/events", dashboard.address);
    let request = dashboard.client.get(url).bearer_auth(&token);
    let request = request.header(ACCEPT, "text/event-stream");
    let mut live = Live {
        answer: request.send().await.unwrap(),
        text: String::new(),
    };
    live.event().await.unwrap();
    dashboard.tokens.remove("ann").unwrap();
    dashboard.tell();
    assert_eq!(live.event().await, None);
}

#[tokio::test]
async fn a_place_that_is_none_is_named() {
    let dashboard = Dashboard::start(&[]).await;
    for (query, after, wanted) in [
        ("", Some("17"), "`17` is no place among events"),
        ("?last_event_id=x-1", None, "`x-1` is no place among events"),
        ("?limit=3", None, "`after` and `limit` are for lists"),
        ("?rack=r.7", None, "r.7"),
    ] {
        let answer = dashboard.follow(query, after).await.answer;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{query}");
        let problem: Value = answer.json().await.unwrap();
        let says = problem["detail"].as_str().unwrap();
        assert!(says.contains(wanted), "{says}");
    }
    let mut live = dashboard.follow("", None).await;
    live.event().await.unwrap();
    dashboard.end.unwrap().send(()).unwrap();
    assert_eq!(live.event().await, None, "it keeps nobody who wants to end");
}
