# Titles, goals and results become the tables of the page; ends with 1 when a measure is missing and names it in `missing`.

function number(text) { return text + 0 }

# The median of the numbers in list[1..n], which is sorted here.
function median(list, n,    i, j, kept) {
    for (i = 2; i <= n; i++) {
        kept = list[i]
        for (j = i - 1; j >= 1 && list[j] > kept; j--) list[j + 1] = list[j]
        list[j + 1] = kept
    }
    return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}

# Puts the medians of a measure into seconds[], cpu[], low[], high[]; without all rounds there are none.
function settle(database, name,    round, n, walls, cpus) {
    n = 0
    for (round = 1; round <= rounds; round++) {
        if (!((database, name, round) in wall)) return
        n++
        walls[n] = wall[database, name, round]
        cpus[n] = used[database, name, round]
    }
    seconds[database, name] = median(walls, n)
    cpu[database, name] = median(cpus, n)
    low[database, name] = walls[1]
    high[database, name] = walls[n]
}

$1 == "title" { title[$2] = $3; next }
/^#/ { next }
FILENAME ~ /goals/ {
    split($0, word, / +/)
    goals++
    over[goals] = word[1]; under[goals] = word[2]; goal[goals] = word[3]
    next
}
$6 == "ok" { wall[$1, $2, $3] = number($4); used[$1, $2, $3] = number($5); next }
{ why[$1, $2] = $6 }

END {
    count = split(databases, database, " ")
    names = split(order, name, " ")
    for (d = 1; d <= count; d++) {
        for (round = 1; round <= rounds; round++) {
            if (((database[d], "pgcopydb", round) in wall) && ((database[d], "compare_both", round) in wall)) {
                wall[database[d], "checked", round] = wall[database[d], "pgcopydb", round] + wall[database[d], "compare_both", round]
                used[database[d], "checked", round] = used[database[d], "pgcopydb", round] + used[database[d], "compare_both", round]
            }
        }
        settle(database[d], "checked")
        for (m = 1; m <= names; m++) {
            settle(database[d], name[m])
            if (!((database[d], name[m]) in seconds)) {
                absent++
                reason = (database[d], name[m]) in why ? why[database[d], name[m]] : "not measured"
                print title[name[m]] " (" name[m] ") of " database[d] ": " reason > missing
            }
        }
    }

    head = "| ratio | goal |"; rule = "| --- | --- |"
    for (d = 1; d <= count; d++) { head = head " " database[d] " |"; rule = rule " --- |" }
    print head " verdict |"; print rule " --- |"
    for (g = 1; g <= goals; g++) {
        row = "| " title[over[g]] " / " title[under[g]] " | " (goal[g] == "-" ? "" : goal[g] " or less") " |"
        verdict = goal[g] == "-" ? "" : "reached"
        for (d = 1; d <= count; d++) {
            if (((database[d], over[g]) in seconds) && ((database[d], under[g]) in seconds)) {
                ratio = seconds[database[d], over[g]] / seconds[database[d], under[g]]
                row = row sprintf(" %.2f |", ratio)
                if (goal[g] != "-" && ratio > number(goal[g]) && verdict == "reached") verdict = "not reached"
            } else {
                row = row " missing |"
                verdict = "missing"
            }
        }
        print row " " verdict " |"
    }

    print ""
    head = "| median seconds (lowest to highest), processor seconds |"; rule = "| --- |"
    for (d = 1; d <= count; d++) { head = head " " database[d] " |"; rule = rule " --- |" }
    print head; print rule
    for (m = 1; m <= names; m++) {
        row = "| " title[name[m]] " |"
        for (d = 1; d <= count; d++) {
            k = database[d] SUBSEP name[m]
            if (k in seconds) row = row sprintf(" %.2f (%.2f to %.2f), %.1f |", seconds[k], low[k], high[k], cpu[k])
            else row = row " missing |"
        }
        print row
    }
    exit absent > 0
}
