"""Mistakes in the filter of expert returns, and in the split."""

from tests.mutation.mutant import Mutant

RETURNS = "gato_data/expert_return.py"
SELECTION = "gato_data/building/selection.py"
INDEX = "gato_data/building/episode_facts.py"
PLAN = "gato_data/building/episode_plan.py"
CONFIG = "gato_data/config_types.py"

MUTANTS = (
    # W and the expert return.
    Mutant(
        "window-of-at-least-1000",
        "expert-window",
        RETURNS,
        "min(LARGEST_WINDOW, episodes // 10)",
        "max(LARGEST_WINDOW, episodes // 10)",
    ),
    Mutant(
        "window-rounded-up",
        "expert-window",
        RETURNS,
        "min(LARGEST_WINDOW, episodes // 10)",
        "min(LARGEST_WINDOW, -(-episodes // 10))",
    ),
    Mutant(
        "window-of-nothing",
        "expert-window",
        RETURNS,
        "return max(1, min(LARGEST_WINDOW",
        "return max(2, min(LARGEST_WINDOW",
    ),
    Mutant(
        "worst-window",
        "expert-return",
        RETURNS,
        "best = max(best, total)",
        "best = min(best, total)",
    ),
    Mutant(
        "last-window-left-out",
        "expert-return",
        RETURNS,
        "zip(integers, integers[window:], strict=False)",
        "zip(integers, integers[window:-1], strict=False)",
    ),
    Mutant(
        "first-window-only",
        "expert-return",
        RETURNS,
        "        best = max(best, total)\n",
        "",
    ),
    Mutant(
        "sum-instead-of-mean",
        "expert-return",
        RETURNS,
        "return best / divisor / window",
        "return best / divisor",
    ),
    Mutant(
        "best-returns-by-default",
        "expert-return",
        CONFIG,
        'estimator: Literal["window", "top_mean"] = "window"',
        'estimator: Literal["window", "top_mean"] = "top_mean"',
    ),
    Mutant(
        "order-of-collection-ignored",
        "collection-order",
        SELECTION,
        "return rows[pc.sort_indices(pa.table(columns), sort_keys=keys).to_numpy()]",
        "return rows",
    ),
    Mutant(
        "places-compared-as-strings",
        "collection-order",
        SELECTION,
        'columns = {"value": _order_values(index, rows)}',
        'columns = {"value": _order_values(index, rows).cast(pa.string())}',
    ),
    # The threshold.
    Mutant(
        "threshold-itself-dropped",
        "return-threshold",
        RETURNS,
        "return ~(values < found.threshold)",
        "return ~(values <= found.threshold)",
    ),
    Mutant(
        "worse-episodes-kept",
        "return-threshold",
        RETURNS,
        "return ~(values < found.threshold)",
        "return values < found.threshold",
    ),
    Mutant(
        "share-on-the-wrong-side",
        "return-threshold",
        RETURNS,
        "found = random + self.share * (expert - random)",
        "found = random + (expert - random) / self.share",
    ),
    Mutant(
        "share-of-the-best-episode",
        "return-threshold",
        RETURNS,
        "return ESTIMATORS[rule.estimator](values), rule.estimator",
        "return float(values.max()), rule.estimator",
    ),
    Mutant(
        "share-of-ninety-percent",
        "return-threshold",
        CONFIG,
        "expert_return_share: float = 0.8",
        "expert_return_share: float = 0.9",
    ),
    Mutant(
        "negative-returns-mirrored",
        "negative-returns",
        RETURNS,
        "found = random + self.share * (expert - random)",
        "found = expert - (1 - self.share) * abs(expert - random)",
    ),
    # The rules that stand in for the paper's.
    Mutant(
        "relative-share-from-zero",
        "negative-returns",
        RETURNS,
        "random = self.random or 0.0",
        "random = 0.0",
    ),
    Mutant(
        "given-expert-return-ignored",
        "expert-return",
        RETURNS,
        "if rule.expert is not None:",
        "if False:",
    ),
    Mutant(
        "nothing-won-is-a-success",
        "return-threshold",
        RETURNS,
        "return values > 0 if marks is None",
        "return values >= 0 if marks is None",
    ),
    Mutant(
        "top-k-keeps-the-worst",
        "return-threshold",
        RETURNS,
        "np.lexsort((ties, -values))",
        "np.lexsort((ties, values))",
    ),
    # Over what.
    Mutant(
        "one-threshold-for-all-tasks",
        "filter-scope",
        SELECTION,
        "passes = passing(found[task],",
        "passes = passing(min(found.values(), key=lambda x: x.threshold),",
    ),
    Mutant(
        "one-expert-for-all-tasks",
        "filter-scope",
        SELECTION,
        "task_returns(returns[rows], rules[task], marked)",
        "task_returns(returns[list(ordered)], rules[task], marked)",
    ),
    Mutant(
        "filter-after-the-split",
        "filter-scope",
        SELECTION,
        "task_returns(returns[rows], rules[task], marked)",
        "task_returns(returns[[r for r in rows if split_of(context.dataset, "
        'context.job.config.seed, index["episode_id"][int(r)].as_py(), task) == TRAIN]], '
        "rules[task], marked)",
    ),
    Mutant(
        "filter-after-the-pilot's-sample",
        "filter-scope",
        SELECTION,
        "task_returns(returns[rows], rules[task], marked)",
        "task_returns(returns[rows[: context.job.limit]], rules[task], marked)",
    ),
    Mutant(
        "reward-of-the-last-step-counted",
        "undiscounted-return",
        INDEX,
        "values = record.values(leaf)[:steps]",
        "values = record.values(leaf)",
    ),
    Mutant(
        "discounted-return",
        "undiscounted-return",
        INDEX,
        "math.fsum(values.tolist())",
        "math.fsum(x * 0.99**i for i, x in enumerate(values.tolist()))",
    ),
    Mutant(
        "mean-reward",
        "undiscounted-return",
        INDEX,
        "math.fsum(values.tolist())",
        "math.fsum(values.tolist()) / len(values)",
    ),
    # The split.
    Mutant(
        "one-draw-for-all-episodes",
        "validation-split",
        SELECTION,
        'draws.uniform(seed, "split", dataset.name, episode_id)',
        'draws.uniform(seed, "split", dataset.name)',
    ),
    Mutant(
        "held-out-tasks-in-training",
        "validation-split",
        SELECTION,
        "held_out = task in dataset.validation",
        "held_out = task not in dataset.validation",
    ),
    Mutant(
        "training-saved-as-validation",
        "validation-split",
        PLAN,
        "rows = selection.kept_in(split)",
        "rows = selection.kept[selection.splits[selection.kept] != split]",
    ),
)
