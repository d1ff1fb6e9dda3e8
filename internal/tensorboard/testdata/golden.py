"""Events as TensorBoard's own writer writes them, golden.tfevents: the messages of its protocol buffers, framed by its
RecordWriter. The test compares what this package writes with it, byte by byte.

Run with tensorboard 2.21: python golden.py
"""
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d4944415478da6364f8ffbf1e000584027f8c6a8c4f0000000049454e44ae426082"
)


def event(time, step=0, **what):
    return event_pb2.Event(wall_time=time, step=step, **what)


def value(time, step, **fields):
    return event(time, step, summary=summary_pb2.Summary(value=[summary_pb2.Summary.Value(**fields)]))


def plugin(name, content=b""):
    return summary_pb2.SummaryMetadata(plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=name, content=content))


def one(**content):
    shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)])
    return tensor_pb2.TensorProto(tensor_shape=shape, **content)


def hparams(time, tag, **what):
    content = plugin_data_pb2.HParamsPluginData(**what).SerializeToString(deterministic=True)
    return value(time, 0, tag=tag, tensor=one(dtype=types_pb2.DT_FLOAT, float_val=[0]), metadata=plugin("hparams", content))


start = plugin_data_pb2.SessionStartInfo(start_time_secs=1000.5)
start.hparams["train.lr"].number_value = 0.1
start.hparams["train.nesterov"].bool_value = False
start.hparams["model.name"].string_value = "mlp"

events = [
    event(1000.5, file_version="brain.Event:2"),
    hparams(1000.5, "_hparams_/session_start_info", session_start_info=start),
    value(1000.5, 0, tag="config", tensor=one(dtype=types_pb2.DT_STRING, string_val=["    train:\n      lr: 0.1 é\n".encode()]),
          metadata=plugin("text")),
    event(1001.25, 1, summary=summary_pb2.Summary(value=[
        summary_pb2.Summary.Value(tag="loss/train", simple_value=0.5),
        summary_pb2.Summary.Value(tag="accuracy/train", simple_value=0.875)])),
    event(1002, 300, summary=summary_pb2.Summary(value=[
        summary_pb2.Summary.Value(tag="loss/train", simple_value=float("nan"))])),
    value(1002, 300, tag="figures/loss",
          image=summary_pb2.Summary.Image(height=1, width=1, colorspace=4, encoded_image_string=PNG)),
    hparams(1003, "_hparams_/session_end_info",
            session_end_info=plugin_data_pb2.SessionEndInfo(status=1, end_time_secs=1003)),
]

with open("golden.tfevents", "wb") as f:
    writer = RecordWriter(f)
    for e in events:
        writer.write(e.SerializeToString(deterministic=True))
