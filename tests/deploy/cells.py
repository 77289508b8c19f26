"""Small cells of many operators: each gives images, joined along their channels."""

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, mint, nn, ops


class Cell(nn.Cell):
    channels = 4
    multiple = 1


class Arithmetic(Cell):
    def construct(self, x):
        a = (ops.maximum(x, 0.5), ops.minimum(x, 0.25), ops.pow(x, 2), x**0.5, ops.square(x))
        b = (ops.sqrt(x), ops.rsqrt(x + 1), ops.abs(x - 0.5), ops.exp(x), ops.log(x + 1))
        c = (ops.erf(x), -x, ops.reciprocal(x + 1), ops.tanh(x), ops.sigmoid(x), 1 / (x + 1))
        d = (2 - x, x / 2, x * 9 // 2, x * 9 % 2, x * (1 - x), x / (1 + x), ops.sin(x), x - x * x)
        f = (ops.trunc(9 * x - 4), ops.expm1(x), ops.log1p(x), ops.lerp(x, x * x, 0.25))
        e = (ops.floor(9 * x), ops.round(9 * x), ops.sign(x - 0.5), ops.ceil(9 * x), ops.cos(x))
        return ops.cat((*a, *b, *c, *d, *e, *f), axis=1)


class Activations(Cell):
    def __init__(self):
        super().__init__()
        self.prelu = nn.PReLU(4)
        self.leaky = nn.LeakyReLU(0.1)
        self.gelu = nn.GELU()
        self.exact = nn.GELU(approximate=False)
        self.relu6 = nn.ReLU6()
        self.hard = nn.HSigmoid()
        self.swish = nn.HSwish()
        self.elu = nn.ELU()
        self.silu = nn.SiLU()
        self.celu = nn.CELU()
        self.selu = nn.SeLU()

    def construct(self, x):
        x = 12 * x - 6
        a = (self.prelu(x), self.leaky(x), self.gelu(x), self.exact(x), self.relu6(x))
        b = (self.hard(x), self.swish(x), self.elu(x), self.silu(x), ops.relu(x), ops.softplus(x))
        c = (ops.softmax(x, 1), ops.log_softmax(x, 1), ops.mish(x), ops.clamp(x, -1, 2))
        c = (*c, self.celu(x), self.selu(x), ops.hardtanh(x))
        return ops.cat((*a, *b, *c, ops.leaky_relu(x, 0.2), ops.clip(x, 0.0, 0.5)), axis=1)


class Choices(Cell):
    def construct(self, x):
        a = ops.select(x > 0.5, x, x * 2), ops.where(x < 0.2, x, 1 - x), ops.where(x == 0.1, x, 0.0)
        b = (x >= 0.3).astype(ms.float32), (x <= 0.3).float(), x.masked_fill(x > 0.5, 0.0)
        c = ops.zeros_like(x), ops.ones_like(x), ops.logical_and(x > 0.2, x < 0.7).float()
        d = ops.logical_not(x > 0.5).float(), (x != 0.5).float(), ops.logical_or(x > 0.7, x < 0.2)
        return ops.cat((*a, *b, *c, d[0], d[1], d[2].astype(ms.float32)), axis=1)


class Convolutions(Cell):
    def __init__(self):
        super().__init__()
        self.same = nn.Conv2d(4, 4, 3, has_bias=True, bias_init="normal")
        self.groups = nn.Conv2d(4, 8, 3, pad_mode="pad", padding=1, group=2)
        self.depthwise = nn.Conv2d(4, 4, 5, pad_mode="pad", padding=4, dilation=2, group=4)
        self.uneven = nn.Conv2d(4, 4, 3, pad_mode="pad", padding=(2, 0, 0, 2))
        self.strided = nn.Conv2d(4, 4, 3, stride=2, has_bias=True)
        self.valid = nn.Conv2d(4, 4, 3, stride=3, pad_mode="valid")

    def construct(self, x):
        h, w = x.shape[2:]
        strided = self.strided(x).repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, :h, :w]
        valid = ops.tile(self.valid(x), (1, 1, 4, 4))[:, :, :h, :w]
        images = (self.same(x), self.groups(x), self.depthwise(x), self.uneven(x))
        other = ops.conv2d(x, self.same.weight, pad_mode="same")
        return ops.cat((*images, strided, valid, other), axis=1)


class Transposed(Cell):
    def __init__(self):
        super().__init__()
        self.same = nn.Conv2dTranspose(4, 3, 3, stride=2, pad_mode="same")
        self.pad = nn.Conv2dTranspose(4, 4, 4, stride=2, pad_mode="pad", padding=1, has_bias=True)
        self.valid = nn.Conv2dTranspose(4, 4, 2, stride=2, pad_mode="valid", has_bias=True)
        self.groups = nn.Conv2dTranspose(4, 4, 2, stride=2, pad_mode="valid", group=2)
        self.more = nn.Conv2dTranspose(
            4, 4, 3, stride=2, pad_mode="pad", padding=1, output_padding=1
        )

    def construct(self, x):
        return ops.cat(
            (self.same(x), self.pad(x), self.valid(x), self.groups(x), self.more(x)), axis=1
        )


class Normalisations(Cell):
    def __init__(self):
        super().__init__()
        self.layer = nn.LayerNorm((4,))
        self.group = nn.GroupNorm(2, 4)
        self.batch = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 4, 3)
        self.weight = Parameter(np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1))

    def construct(self, x):
        layer = self.layer(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        mean = x.mean(axis=1, keep_dims=True)
        variance = ((x - mean) ** 2).mean(axis=1, keep_dims=True)
        mine = (x - mean) / ops.sqrt(variance + 1e-6) * self.weight
        return ops.cat(
            (layer, self.group(x), mine, self.batch(x), self.batch(self.conv(x))), axis=1
        )


class Reductions(Cell):
    def construct(self, x):
        a = x.mean(axis=(2, 3), keep_dims=True) + x, x.sum(axis=1, keepdims=True)
        b = x.max(axis=1, keepdims=True), ops.amin(x, 1, True), x.min(axis=1, keepdims=True)
        c = ops.ReduceMax(True)(x, 1), x.std(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
        c = *c, ops.std(x, 1, keepdims=True), ops.L2Normalize(axis=1)(x), x * x.max()
        d = ops.norm(x, dim=1, keepdim=True), x.mean(1).expand_dims(1), ops.ReduceSum(True)(x, 1)
        return ops.cat((*a, *b, *c, *d), axis=1)


class RunningSums(Cell):
    def construct(self, x):
        from_the_end = ops.CumSum(exclusive=True, reverse=True)(x, 3)
        return ops.cat((ops.cumsum(x, 2), ops.cumsum(x, -1), ops.cumsum(x, 1), from_the_end), 1)


class Products(Cell):
    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(4, 6, bias_init="normal")

    def construct(self, x):
        n, c, h, w = x.shape
        tokens = x.reshape(n, c, h * w).swapaxes(1, 2)
        q = self.dense(tokens)
        weights = ops.softmax(ops.matmul(q, q.swapaxes(1, 2)), axis=-1)
        q = weights @ q + ops.BatchMatMul(False, True)(weights, weights) @ q + ops.bmm(weights, q)
        return q.swapaxes(1, 2).reshape(n, 6, h, w)


class Joining(Cell):
    def construct(self, x):
        a, b = ops.chunk(x, 2, axis=1)
        c, d = ops.split(x, 2, axis=1)
        (e,) = ops.split(x, [3, 1], axis=1)[:1]
        stacked = ops.stack((a, b), axis=2).reshape(x.shape[0], 4, x.shape[2], x.shape[3])
        one = ops.unbind(x, 1)[1].unsqueeze(1)
        wide = ops.broadcast_to(x[:, :1], x.shape) + ops.channel_shuffle(x, 2)
        wide = wide + ops.full_like(x, 0.5) + ops.ones((x.shape[0], 1, x.shape[2], 1), ms.float32)
        return ops.cat((b, a, c, d, e, stacked, one, wide), axis=1)


class Slicing(Cell):
    def construct(self, x):
        h, w = x.shape[2:]
        tiled = ops.tile(x, (1, 1, 2, 2))[:, :, ::2, 1::2]
        repeated = x.repeat_interleave(2, 2).repeat_interleave(3, 3)[:, :, 1 : h + 1, -w:]
        turned = ops.flip(x, (3,)), x[:, :, ::-1]
        more = x.expand_dims(1).squeeze(1), x[:, None, ...][:, 0], x[:, 2].expand_dims(1)
        return ops.cat((tiled, repeated, *turned, *more, x[:, -1:]), axis=1)


class Padding(Cell):
    def __init__(self):
        super().__init__()
        self.reflection = nn.ReflectionPad2d((1, 2, 3, 1))
        self.zero = nn.ZeroPad2d(2)
        self.symmetric = nn.Pad(((0, 0), (0, 0), (1, 2), (0, 3)), mode="SYMMETRIC")
        self.edge = nn.ReplicationPad2d(1)

    def construct(self, x):
        h, w = x.shape[2:]
        a = self.reflection(x)[:, :, :h, :w], self.zero(x)[:, :, :h, :w], self.edge(x)[:, :, :h, :w]
        b = self.symmetric(x)[:, :, :h, :w], ops.pad(x, (1, 0, 1, 0), mode="constant", value=0.5)
        c = ops.pad(x, (2, 1, 1, 1), mode="reflect"), ops.pad(x, (1, 1, 1, 1), mode="replicate")
        c = c[0][:, :, :h, :w], c[1][:, :, -h:, -w:]
        return ops.cat((*a, b[0], b[1][:, :, :h, :w], *c), axis=1)


class Pooling(Cell):
    multiple = 2

    def __init__(self):
        super().__init__()
        self.most = nn.MaxPool2d(2, 2)
        self.most_same = nn.MaxPool2d(3, 2, pad_mode="same")
        self.most_pad = nn.MaxPool2d(3, 2, pad_mode="pad", padding=1)
        self.mean = nn.AvgPool2d(2, 2)
        self.mean_same = nn.AvgPool2d(3, 2, pad_mode="same")
        self.mean_pad = nn.AvgPool2d(3, 2, pad_mode="pad", padding=1, count_include_pad=False)
        self.all = nn.AdaptiveAvgPool2d(1)

    def construct(self, x):
        a = self.most(x), self.most_same(x), self.most_pad(x), self.mean(x), self.mean_same(x)
        b = self.mean_pad(x), ops.avg_pool2d(x, 2, 2), ops.max_pool2d(x, 2, 2)
        c = self.most(x) * self.all(x), ops.adaptive_avg_pool2d(x, 1) + self.mean(x)
        return ops.cat((*a, *b, *c), axis=1)


class Resizing(Cell):
    def construct(self, x):
        size = {"scale_factor": 2.0, "recompute_scale_factor": True}
        nearest = ops.interpolate(x, mode="nearest", **size)
        bilinear = ops.interpolate(x, mode="bilinear", **size)
        bicubic = ops.interpolate(x, mode="bicubic", **size)
        return ops.cat((nearest, bilinear, bicubic), axis=1)


class ResizingToOneSize(Cell):
    def construct(self, x):
        corners = ops.interpolate(x, size=(20, 15), mode="bilinear", align_corners=True)
        plain = ops.interpolate(x, size=(20, 15), mode="bilinear", align_corners=False)
        nearest = ops.interpolate(x, size=(20, 15), mode="nearest")
        centred = ops.ResizeBilinearV2(half_pixel_centers=True)(x, (20, 15))
        return ops.cat((corners, plain, nearest, centred), axis=1)


class Shuffling(Cell):
    multiple = 2

    def __init__(self):
        super().__init__()
        self.depth = ops.DepthToSpace(2)
        self.space = ops.SpaceToDepth(2)
        self.shuffle = nn.PixelShuffle(2)
        self.unshuffle = nn.PixelUnshuffle(2)

    def construct(self, x):
        fine = self.depth(x) + 2 * self.shuffle(x)
        return ops.cat((self.unshuffle(x), self.space(x), self.space(fine[:, :, ::2, ::2])), axis=1)


class Windows(Cell):
    """Attention within 8x8 windows of a padded image, as Swin and HAT have it."""

    def construct(self, x):
        h, w = x.shape[2], x.shape[3]
        y = ops.pad(x, (0, (8 - w % 8) % 8, 0, (8 - h % 8) % 8), mode="reflect")
        n, c, high, wide = y.shape
        y = y.reshape(n, c, high // 8, 8, wide // 8, 8).transpose(0, 2, 4, 3, 5, 1)
        y = y.reshape(-1, 64, c)
        y = ops.matmul(ops.softmax(ops.matmul(y, y.swapaxes(1, 2)), axis=-1), y)
        y = y.reshape(n, high // 8, wide // 8, 8, 8, c).transpose(0, 5, 1, 3, 2, 4)
        return y.reshape(n, c, high, wide)[:, :, :h, :w]


class Mint(Cell):
    """Of the operators that mint has for itself, those with a kernel on CPUs."""

    def __init__(self):
        super().__init__()
        self.linear = mint.nn.Linear(4, 4)

    def construct(self, x):
        f = mint.nn.functional
        y = self.linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        a = y, mint.mean(x, 1, keepdim=True), mint.sum(x, 1, keepdim=True), mint.max(x, 1, True)[0]
        b = mint.add(x, x, alpha=2), mint.sub(x, y), f.silu(x), f.softmax(x, 1), f.relu(y)
        return mint.cat((*a, *b), 1)


CELLS = [
    Arithmetic,
    Activations,
    Choices,
    Convolutions,
    Transposed,
    Normalisations,
    Reductions,
    RunningSums,
    Products,
    Joining,
    Slicing,
    Padding,
    Pooling,
    Resizing,
    ResizingToOneSize,
    Shuffling,
    Windows,
    Mint,
]


def randomised(cell):
    """With weights that are all different, in inference."""
    rng = np.random.default_rng(0)
    for name, parameter in cell.parameters_and_names():
        low = 0.1 if "variance" in name else -0.5
        value = rng.uniform(low, 0.5, parameter.shape).astype(np.float32)
        parameter.set_data(Tensor(value))
    return cell.set_train(False)
