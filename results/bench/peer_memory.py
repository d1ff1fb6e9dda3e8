"""Prints the peak resident memory, in bytes, of a PyTorch process that makes ten training steps of all weights
of an encoder: what `dla bench memory` measures of ours. Batches are 32 sentences of 32 tokens.

    python peer_memory.py minilm|distilbert
"""
import json, resource, sys
import torch, torch.nn as nn, torch.nn.functional as F
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

torch.manual_seed(0)
m = {"minilm": lambda: BertModel(BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)),
     "distilbert": lambda: DistilBertModel(DistilBertConfig())}[sys.argv[1]]().train()
head = nn.Linear(m.config.hidden_size, 2)
ids, y = torch.randint(1000, 30000, (32, 32)), torch.randint(0, 2, (32,))
opt = torch.optim.AdamW([*m.parameters(), *head.parameters()], lr=1e-5)
for _ in range(10):
    opt.zero_grad(set_to_none=True)
    F.cross_entropy(head(m(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0]), y).backward()
    opt.step()
print(json.dumps({"case": sys.argv[1] + "-full", "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10}))
