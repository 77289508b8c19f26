#!/usr/bin/env bash
# Converts an exported network to OM, for Atlas, with CANN's ATC:
#   bash convert_om.sh FILE.onnx|FILE.air SOC_VERSION OUTPUT CHANNELS HEIGHT WIDTH           one size
#   bash convert_om.sh FILE.onnx SOC_VERSION OUTPUT CHANNELS "H1,W1;H2,W2;..."               several sizes
# Not run here: written to ATC's documentation. SOC_VERSION as npu-smi info shows it, such as Ascend310P3.
# CHANNELS: 3 for colour, 1 for gray. The OM takes one image at a time, float32 NCHW in [0, 1].
# PRECISION_MODE=... before the command: force_fp16 (default, as ATC's own), allow_fp32_to_fp16, force_fp32,
# must_keep_origin_dtype or allow_mix_precision, as the chip has its operators.
set -euo pipefail
fail() { echo "convert_om.sh: $1" >&2; exit 2; }

[ $# -eq 5 ] || [ $# -eq 6 ] || { sed -n '3,4s/^# *//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
file=$1 soc=$2 output=${3%.om} channels=$4
case $file in
*.onnx) framework=5 ;;
*.air) framework=1 ;;
*) fail "$file: expected .onnx or .air; make one: ms-restore export --file_format ONNX" ;;
esac
[ -f "$file" ] || fail "$file: no such file"
[[ $soc == Ascend* ]] || fail "SOC_VERSION $soc: expected the chip's name, such as Ascend310P3 (npu-smi info shows it)"
[[ $channels =~ ^[1-9][0-9]*$ ]] || fail "CHANNELS $channels: expected a number, such as 3"
precision=${PRECISION_MODE:-force_fp16}
case $precision in
force_fp16 | allow_fp32_to_fp16 | force_fp32 | must_keep_origin_dtype | allow_mix_precision) ;;
*) fail "PRECISION_MODE $precision: expected force_fp16, allow_fp32_to_fp16, force_fp32, must_keep_origin_dtype or allow_mix_precision" ;;
esac
flags=(--framework="$framework" --model="$file" --output="$output" --soc_version="$soc" --precision_mode="$precision")
if [ $# -eq 6 ]; then
    [[ $5 =~ ^[1-9][0-9]*$ && $6 =~ ^[1-9][0-9]*$ ]] || fail "HEIGHT $5, WIDTH $6: expected two numbers"
    # an AIR file has its shape inside, and ATC takes none for it
    [ "$framework" = 1 ] || flags+=(--input_format=NCHW --input_shape="y:1,$channels,$5,$6")
else
    [ "$framework" = 5 ] || fail "$file: an AIR file has one size; export ONNX for several"
    size='[1-9][0-9]*,[1-9][0-9]*'
    [[ $5 =~ ^$size(\;$size)+$ ]] || fail "sizes $5: expected two or more as H1,W1;H2,W2"
    flags+=(--input_format=NCHW --input_shape="y:1,$channels,-1,-1" --dynamic_image_size="$5")
fi
command -v atc >/dev/null ||
    fail "atc is not on PATH; install CANN (https://www.hiascend.com/software/cann) and source its set_env.sh (in /usr/local/Ascend/cann, before CANN 8.5 in /usr/local/Ascend/ascend-toolkit)"
exec atc "${flags[@]}"
