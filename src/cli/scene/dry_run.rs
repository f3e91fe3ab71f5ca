//! `rsmoe scene --dry-run`: the grid, what there is to do, and how long it will take.

use std::time::Duration;

use indicatif::HumanDuration;
use serde_json::json;

use super::watch::{Voice, warn};
use super::{SceneArgs, load_describer};
use crate::cli::output::{self, Outcome};
use crate::cli::settings::Settings;
use crate::error::Error;
use crate::geo::Size;
use crate::manifest::ModelPackage;
use crate::scene::{
    ModelFacts, OutputFormat, ScenePlan, SceneSettings, TileDescriber, TileTime, measure, tiles,
};

/// Prints the plan. Needs the package's manifest, but no ONNX Runtime, unless time is to be measured.
pub(super) fn run(
    args: &SceneArgs,
    mut scene_settings: SceneSettings,
    settings: &Settings,
) -> anyhow::Result<Outcome> {
    if !scene_settings.out.as_os_str().is_empty() {
        OutputFormat::of(&scene_settings.out)?;
    }
    let (plan, time) = if args.measure {
        let mut describer = load_describer(args, &mut scene_settings, settings)?;
        let (input, model) = (describer.input_size(), describer.model_facts());
        let plan = ScenePlan::settle(&scene_settings, input, model)?;
        let time = measure(&scene_settings, &plan, &mut describer)?;
        (plan, time)
    } else {
        (plan_from_manifest(&scene_settings, settings)?, None)
    };
    warn(&plan, Voice::of(settings));
    if settings.json { print_json(&plan, time) } else { print_table(args, &plan, time) }?;
    Ok(Outcome::Done)
}

fn plan_from_manifest(scene_settings: &SceneSettings, settings: &Settings) -> anyhow::Result<ScenePlan> {
    let package = ModelPackage::open(&settings.model_directory()?).map_err(Error::from)?;
    let spec = &package.manifest().vision_encoder.preprocess;
    let input = Size { width: spec.width, height: spec.height };
    let model = ModelFacts {
        model: package.id(),
        provider: String::new(),
        variant: String::new(),
        views: settings.views.unwrap_or(package.manifest().vision_encoder.views),
        trained_gsd_m: package.manifest().ground_resolution_m,
    };
    Ok(ScenePlan::settle(scene_settings, input, model)?)
}

/// At most: tiles that are skipped take less.
fn run_time(plan: &ScenePlan, time: TileTime) -> Duration {
    time.per_tile.saturating_mul(u32::try_from(plan.facts.tile_count()).unwrap_or(u32::MAX))
}

fn print_json(plan: &ScenePlan, time: Option<TileTime>) -> anyhow::Result<()> {
    let facts = &plan.facts;
    let time = time.map(|time| {
        json!({
            "seconds_at_most": run_time(plan, time).as_secs_f64(), "seconds_per_tile": time.per_tile.as_secs_f64(),
            "measured_tiles": time.tiles,
        })
    });
    output::json(&json!({
        "tiles": facts.tile_count(), "outside_area": facts.grid.count() - facts.all_tiles(), "area": facts.area,
        "grid": facts.grid, "bands": facts.bands, "stretch": facts.stretch, "gsd_m": plan.gsd_m,
        "input_gsd_m": facts.input_gsd_m, "tile_m": tile_m(plan), "time": time, "raster": facts.raster,
        "model": facts.model.model,
    }))
}

fn print_table(args: &SceneArgs, plan: &ScenePlan, time: Option<TileTime>) -> anyhow::Result<()> {
    let facts = &plan.facts;
    let grid = &facts.grid;
    let crs = facts.raster.crs.as_deref().unwrap_or("no reference system");
    output::line(&format!("scene    {} px, {crs}", grid.scene()))?;
    let metres = tile_m(plan)
        .map(|[width, height]| format!("; {width:.0} x {height:.0} m on the ground"))
        .unwrap_or_default();
    output::line(&format!(
        "tiles    {} by {} of {} px, overlap {} px{metres}",
        grid.columns(),
        grid.rows(),
        grid.tile(),
        grid.overlap()
    ))?;
    if let Some(area) = &facts.area {
        let (inside, outside) = (facts.all_tiles(), grid.count() - facts.all_tiles());
        output::line(&format!("area     {}: {} in it, {outside} outside", area.asked, tiles(inside)))?;
    }
    output::line(&format!("to do    {} (shard {})", tiles(facts.tile_count()), facts.shard))?;
    if let Some(metres) = plan.gsd_m {
        let input = facts.input_gsd_m.map(|metres| format!("; the model sees {metres:.2} m per pixel"));
        output::line(&format!("pixel    {metres:.2} m on the ground{}", input.unwrap_or_default()))?;
    }
    let time = match time {
        Some(time) => format!(
            "at most {}, as {} tiles took {:.3} s each here",
            HumanDuration(run_time(plan, time)),
            time.tiles,
            time.per_tile.as_secs_f64()
        ),
        None if args.measure => "not known: no tile with enough valid pixels was found to measure".to_owned(),
        None => "not measured: --measure describes a few tiles to find out".to_owned(),
    };
    output::line(&format!("time     {time}"))
}

/// Width and height of a tile at the scene's centre, metres.
fn tile_m(plan: &ScenePlan) -> Option<[f64; 2]> {
    let (pixel, tile) = (plan.pixel_m?, plan.facts.grid.tile());
    Some([tile.width as f64 * pixel.width, tile.height as f64 * pixel.height])
}
