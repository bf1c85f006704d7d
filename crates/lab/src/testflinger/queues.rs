//! Queues: what agents advertise, who serves them, what waits on them.

use serde_json::{Map, Value, json};

use super::agents::Record;
use super::schema::json_body;
use crate::call::Call;
use crate::reply::{Answer, Reply, written};
use crate::world::World;

pub(super) fn advertised(world: &mut World, _: &Call) -> Answer {
    let queues: Map<String, Value> = world
        .directory
        .advertised
        .iter()
        .map(|(name, queue)| {
            (
                name.clone(),
                queue.description.clone().unwrap_or_default().into(),
            )
        })
        .collect();
    Ok(Reply::json(&queues))
}

fn complain(message: String) -> Reply {
    Reply::invalid("json", json!({"_schema": [message]}))
}

fn queue_map(call: &Call) -> Result<Map<String, Value>, Reply> {
    match json_body(call)? {
        Value::Object(map) if map.contains_key("") => {
            Err(complain("Queue names must be non-empty strings".to_owned()))
        }
        Value::Object(map) => Ok(map),
        _ => Err(complain("Invalid input type.".to_owned())),
    }
}

pub(super) fn advertise(world: &mut World, call: &Call) -> Answer {
    let given = queue_map(call)?;
    if let Some((queue, _)) = given
        .iter()
        .find(|(_, description)| !description.is_string())
    {
        return Err(complain(format!(
            "Description for queue '{queue}' must be a string"
        )));
    }
    for (queue, description) in given {
        let description = description.as_str().map(str::to_owned);
        world
            .directory
            .advertised
            .entry(queue)
            .or_default()
            .description = description;
    }
    Ok(Reply::html(200, "OK"))
}

pub(super) fn images(world: &mut World, call: &Call) -> Answer {
    let queue = world.directory.advertised.get(call.param(0));
    Ok(Reply::json(
        &queue.map(|queue| queue.images.clone()).unwrap_or_default(),
    ))
}

pub(super) fn set_images(world: &mut World, call: &Call) -> Answer {
    let given = queue_map(call)?;
    for (queue, images) in &given {
        let Some(images) = images.as_object() else {
            return Err(complain(format!(
                "Images for queue '{queue}' must be a dict"
            )));
        };
        for (image, provision_data) in images {
            if image.is_empty() || image.starts_with('$') || image.contains(['.', '\0']) {
                return Err(complain(format!(
                    "Names for queue '{queue}' must be non-empty strings, must not start with '$', contain '.' or \
                     null bytes"
                )));
            }
            if !provision_data.is_string() {
                return Err(complain(format!(
                    "Provision data for image '{image}' in queue '{queue}' must be a string"
                )));
            }
        }
    }
    for (queue, images) in given {
        if let Value::Object(images) = images {
            world.directory.advertised.entry(queue).or_default().images = images;
        }
    }
    Ok(Reply::html(200, "OK"))
}

pub(super) fn agents(world: &mut World, call: &Call) -> Answer {
    let queue = call.param(0);
    let agents: Vec<_> = world.agents.on_queue(queue).map(Record::of).collect();
    if agents.is_empty() {
        return Err(Reply::abort(
            404,
            format!("Queue '{queue}' does not exist."),
        ));
    }
    Ok(Reply::json(&agents))
}

pub(super) fn jobs(world: &mut World, call: &Call) -> Answer {
    let jobs: Vec<_> = world
        .jobs
        .on_queue(call.param(0))
        .map(|job| {
            json!({
                "job_id": job.id,
                "created_at": written(job.created_at),
                "job_state": job.state(),
                "job_queue": job.queue,
            })
        })
        .collect();
    Ok(if jobs.is_empty() {
        Reply::no_content()
    } else {
        Reply::json(&jobs)
    })
}

pub(super) fn wait_times(world: &mut World, call: &Call) -> Answer {
    let asked = call.query_all("queue");
    let times: Map<String, Value> = world
        .directory
        .wait_times
        .iter()
        .filter(|(queue, _)| asked.is_empty() || asked.contains(&queue.as_str()))
        .map(|(queue, seconds)| (queue.clone(), percentiles(seconds).into()))
        .collect();
    Ok(Reply::json(&times))
}

/// Percentiles with linear interpolation between the nearest ranks.
fn percentiles(seconds: &[i64]) -> Map<String, Value> {
    let mut sorted = seconds.to_vec();
    sorted.sort_unstable();
    let at = |percent: u32| {
        let rank = (sorted.len() - 1) as f64 * f64::from(percent) / 100.0;
        let (below, share) = (rank.floor() as usize, rank.fract());
        match sorted.get(below + 1) {
            Some(above) => json!(sorted[below] as f64 * (1.0 - share) + *above as f64 * share),
            None => json!(sorted[below]),
        }
    };
    if sorted.is_empty() {
        return Map::new();
    }
    [5, 10, 50, 90, 95]
        .into_iter()
        .map(|percent| (percent.to_string(), at(percent)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_between_the_ranks() {
        let found = percentiles(&[30, 10, 20]);
        assert_eq!(found["50"], json!(20.0));
        assert_eq!(found["5"], json!(11.0));
        assert_eq!(percentiles(&[7])["95"], json!(7));
        assert!(percentiles(&[]).is_empty());
    }
}
