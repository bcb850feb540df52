"""provisional"""
def write_run(path, qids, ids, scores, *, tag, name_of):
  with open(path, "w") as f:
    for q, r, s in zip(qids, ids, scores):
      for k, (i, x) in enumerate(zip(r, s)):
        if i >= 0: f.write(f"{q} Q0 {name_of(int(i))} {k + 1} {float(x)!r} {tag}\n")
def read_run(path):
  out = {}
  for l in open(path):
    q, _, d, _, s, _ = l.split(); out.setdefault(q, {})[d] = float(s)
  return out
