# Merge the image lists of Spec §7.1 into tables/oci_images.csv: base over legacy over smoke, one row a name.
#
#   nu -n scripts/oci/merge_oci_images.nu [TABLES]
#
# The smoke table must be there, the base table may be absent. Of the merged table only the rows that somebody wrote
# by hand (origin "legacy" or empty) are read back. src/ripple/stack/oci.py writes the same bytes.

const columns = [name image tag digest origin]

def read-table [path: path] {
    let text = (open --raw $path | decode utf-8)
    let first = ($text | lines | first)
    if $first not-in [($columns | str join ","), ($columns | drop 1 | str join ",")] {
        error make -u {msg: $"($path) must begin with the columns ($columns | str join ',')"}
    }
    let rows = ($text | from csv --no-infer | each {|row| {origin: ""} | merge $row | select ...$columns})
    let twice = ($rows | get name | uniq --repeated)
    if ($twice | is-not-empty) {
        error make -u {msg: $"($path) names ($twice | str join ', ') twice; keep one row"}
    }
    for row in $rows {
        let wrong = [
            [what value pattern];
            [name $row.name '^[a-z0-9][a-z0-9._-]{0,80}$']
            [image $row.image '^[a-z0-9][a-z0-9._/:-]{0,200}$']
            [tag $row.tag '^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$']
            [digest $row.digest '^(sha256:[0-9a-f]{64})?$']
            [origin $row.origin '^(base|legacy|smoke)?$']
        ] | where {|one| $one.value !~ $one.pattern}
        if ($wrong | is-not-empty) {
            let one = ($wrong | first)
            error make -u {msg: $"($path): ($one.value) is no ($one.what) of an image"}
        }
    }
    $rows
}

def main [tables: path = "tables"] {
    let base_path = ($tables | path join oci_images_base.csv)
    let smoke_path = ($tables | path join oci_images_smoke.csv)
    let merged_path = ($tables | path join oci_images.csv)
    if not ($smoke_path | path exists) {
        error make -u {msg: $"no ($smoke_path); the images of the smoke tests must always be listed"}
    }
    let base = (if ($base_path | path exists) { read-table $base_path } else { [] })
    let before = (if ($merged_path | path exists) { read-table $merged_path } else { [] })
    let legacy = ($before | where origin in ["" legacy])
    let smoke = (read-table $smoke_path)
    let tagged = [
        ...($smoke | each {|row| $row | update origin smoke})
        ...($legacy | each {|row| $row | update origin legacy})
        ...($base | each {|row| $row | update origin base})
    ]
    let merged = ($tagged | group-by name | values | each {|same| $same | last} | sort-by name)
    let lines = ($merged | each {|row| $columns | each {|column| $row | get $column} | str join ","})
    let part = $"($merged_path).part"
    ([($columns | str join ","), ...$lines] | each {|line| $line + "\n"} | str join "") | save --force --raw $part
    mv --force $part $merged_path
}
