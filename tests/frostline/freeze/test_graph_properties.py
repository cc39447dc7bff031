"""What is true for every graph, tested on random ones."""

from hypothesis import given
from hypothesis import strategies as st

from tests.support.random_graphs import cut_points, graphs, paths, quietly


@quietly
@given(graphs(weighted=False))
def test_cut_points_are_on_every_path(graph):
    assert list(graph.cut_points) == cut_points(graph)


@quietly
@given(graphs(weighted=False), st.data())
def test_ancestors_are_on_some_path_that_ends_there(graph, data):
    position = data.draw(st.integers(0, len(graph.layers) - 1))
    assert graph.ancestors(position) == set.union(*paths(graph, position))


@quietly
@given(graphs(weighted=False))
def test_blocks_cover_every_layer_once_and_end_at_cut_points(graph):
    blocks = graph.blocks
    assert [p for b in blocks for p in range(b.first, b.last + 1)] == list(range(len(graph.layers)))
    assert all(block.last in graph.cut_points for block in blocks)
    assert len({block.name for block in blocks}) == len(blocks)
