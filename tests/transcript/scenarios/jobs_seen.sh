# Tells how many tasks of a service are alike: slot, node (unless there is a second word), desired and current state, error.
docker service ps "$1" --no-trunc --format '{{.Name}}|{{.Node}}|{{.DesiredState}}|{{.CurrentState}}|{{.Error}}' |
  awk -F'|' -v nodes="${2-shown}" '{
    parts = split($1, name, "."); slot = name[parts]; if (length(slot) > 9) slot = "0"
    split($4, state, " "); print slot, (nodes == "shown" ? $2 : "-"), $3, state[1], "[" $5 "]"
  }' | sort | uniq -c | sed 's/^ *//'
