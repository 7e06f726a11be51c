"""Plans of generated repositories, in every format: each is sound, and none shows a secret."""

from __future__ import annotations

import asyncio
import datetime
import json
from typing import Any

from hypothesis import given, settings
from jsonschema import Draft202012Validator

from reconciler.adapters.schema_files import plan_schema
from reconciler.planning import plan_file, render_json, render_markdown, render_text
from reconciler.planning.plan import plan
from reconciler.planning.render_escapes import units
from reconciler.planning.render_values import columns
from tests.fakes.quiet_swarm import a_quiet_swarm
from tests.property.repositories import carried_out, loaded, repositories

VALIDATOR = Draft202012Validator(plan_schema())
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@settings(deadline=None, max_examples=25)
@given(repositories(), repositories())
def test_the_plan_of_any_change_can_be_shown_and_saved(
    tmp_path_factory: Any, before: dict[str, str], after: dict[str, str]
):
    folder = tmp_path_factory.mktemp("repository")
    before["stacks/key.txt"], after["stacks/key.txt"] = "Tr0ub4dor", "correct-horse"

    async def story() -> None:
        cluster = await a_quiet_swarm()
        await carried_out(cluster, loaded(folder, before))
        actual, desired = await cluster.observe(), loaded(folder, after)
        made = plan(desired, actual)
        document = json.loads(json.dumps(render_json.render(made)))
        VALIDATOR.validate(document)
        text, page = render_text.render(made, 80), render_markdown.render(made)
        assert max(columns(line) for line in text.splitlines()) <= 80
        assert units(page) <= render_markdown.LIMIT
        saved = plan_file.encode(made, plan_file.PlanSource("."), actual, {}, NOW, "1")
        plan_file.check_fresh(plan_file.decode(saved), plan(desired, actual), actual)
        for shown in (text, page, saved, str(document)):
            assert not any(secret in shown for secret in ("Tr0ub4dor", "correct-horse"))

    asyncio.run(story())
