"""Prints, as JSON, what TensorBoard finds in a folder of runs: the readers check every CRC, and the hparams plugin builds
its table.

Run with tensorboard 2.21: python read.py FOLDER
"""
import json
import sys

from tensorboard import context
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto import event_pb2
from tensorboard.data import provider
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups
from tensorboard.util import tensor_util
import glob
import os

folder = sys.argv[1]
multiplexer = plugin_event_multiplexer.EventMultiplexer(
    tensor_size_guidance={"scalars": 0, "images": 0, "text": 0, "hparams": 0})
multiplexer.AddRunsFromDirectory(folder)
multiplexer.Reload()
data = data_provider.MultiplexerDataProvider(multiplexer, folder)
ctx = context.RequestContext()
found = {}
for run in sorted(multiplexer.Runs()):
    accumulator = multiplexer.GetAccumulator(run)
    tags = {}
    for tag in sorted(accumulator.Tags()["tensors"]):
        kind = accumulator.SummaryMetadata(tag).plugin_data.plugin_name
        if kind == "hparams":
            continue
        tags[tag] = {"kind": kind, "events": []}
        for e in accumulator.Tensors(tag):
            v = tensor_util.make_ndarray(e.tensor_proto)
            if kind == "scalars":
                v = v.item()
            elif kind == "text":
                v = v.ravel()[0].decode()
            else:  # width, height, PNG
                v = [v[0].decode(), v[1].decode(), len(v[2])]
            tags[tag]["events"].append([e.step, v])
    files = glob.glob(os.path.join(folder, run, "*tfevents*"))
    records = [event_pb2.Event.FromString(r) for f in files for r in RawEventFileLoader(f).Load()]
    found[run] = {"records": len(records), "tags": tags}

hparams = backend_context.Context(base_plugin.TBContext(data_provider=data))
metadata = hparams.hparams_metadata(ctx, folder)
experiment = hparams.experiment_from_metadata(
    ctx, folder, True, metadata, provider.ListHyperparametersResult(hyperparameters=[], session_groups=[]))
request = api_pb2.ListSessionGroupsRequest(
    start_index=0, slice_size=100, include_metrics=True, allowed_statuses=[0, 1, 2, 3], aggregation_type=api_pb2.AGGREGATION_AVG)
for m in experiment.metric_infos:
    request.col_params.add(metric=m.name)
groups = list_session_groups.Handler(ctx, hparams, folder, request).run()
table = {}
for g in groups.session_groups:
    for s in g.sessions:
        table[s.name] = {
            "status": s.status,
            "hparams": {k: (v.string_value or v.number_value or v.bool_value) for k, v in sorted(g.hparams.items())},
            "metrics": {v.name.tag if not v.name.group else v.name.group + " " + v.name.tag: v.value
                        for v in sorted(s.metric_values, key=lambda v: (v.name.group, v.name.tag))},
        }
json.dump({"runs": found, "hparams": table}, sys.stdout, indent=1, sort_keys=True)
