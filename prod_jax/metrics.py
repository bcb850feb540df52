"""provisional"""
import math
def mean(d): return sum(d.values()) / max(len(d), 1)
def evaluate(run, qrels, metrics, *, relevant=1):
  out = {m: {} for m in metrics}
  for q, g in qrels.items():
    rel = {p for p, v in g.items() if v >= relevant}
    if not rel: continue
    r = sorted(run.get(q, {}).items(), key=lambda x: (x[1], x[0]), reverse=True)
    ids = [p for p, _ in r]
    for m in metrics:
      name, k = m.split("@"); top = ids[: int(k)]
      hits = [i for i, p in enumerate(top) if p in rel]
      if name == "mrr": v = 1 / (hits[0] + 1) if hits else 0.0
      elif name == "recall": v = len(hits) / len(rel)
      elif name == "hit": v = float(bool(hits))
      elif name == "map": v = sum((j + 1) / (i + 1) for j, i in enumerate(hits)) / len(rel)
      elif name == "ndcg": v = sum(g.get(p, 0) / math.log2(i + 2) for i, p in enumerate(top)) / sum(x / math.log2(i + 2) for i, x in enumerate(sorted(g.values(), reverse=True)[: int(k)]))
      else: raise ValueError(m)
      out[m][q] = v
  return out
