"""The torch functions that may be steps of a saved model."""

import functools

import torch

# Short names, of functions and of methods of tensors alike. Each gives new tensors from tensors
# and numbers, whose shapes are known without a look at values, and checks its arguments: a file
# chooses these. So left out are functions that trust an index or a length they are given
# (`ctc_loss`, `embedding_bag`, `repeat_interleave` with its `output_size`, `max_unpool2d`, pooling
# at given places, `lu_solve` and others with pivots, recurrent cells with their batch sizes), that
# write in place, ask for a value, change autograd or the process, or take a function; and inner
# kernels of quantized, sparse and vendor code. What torch adds later is in when it is named here.
_NAMES = frozenset(
    # elementwise
    """
    abs absolute acos acosh add addcdiv addcmul angle arccos arccosh arcsin arcsinh arctan arctan2
    arctanh asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_not bitwise_or
    bitwise_right_shift bitwise_xor ceil celu clamp clamp_max clamp_min clip clone complex conj
    conj_physical contiguous copysign cos cosh deg2rad detach digamma div divide elu eq erf erfc
    erfinv exp exp2 expm1 fix float_power floor floor_divide fmax fmin fmod frac frexp full_like gcd
    ge gelu glu greater greater_equal gt gumbel_softmax hardshrink hardtanh
    heaviside hypot i0 igamma igammac imag isclose isfinite isin isinf isnan isneginf isposinf
    isreal lcm ldexp le leaky_relu lerp less less_equal lgamma log log10 log1p log2 logaddexp
    logaddexp2 logical_and logical_not logical_or logical_xor logit logsigmoid lt masked_fill
    maximum minimum mish mul multiply mvlgamma nan_to_num ne neg negative nextafter not_equal
    ones_like polar polygamma positive pow prelu rad2deg real reciprocal relu relu6 remainder
    resolve_conj resolve_neg round rrelu rsqrt rsub selu sgn sigmoid sign signbit silu sin sinc sinh
    softplus softshrink softsign sqrt square sub subtract tan tanh tanhshrink threshold true_divide
    trunc where xlogy zeros_like
    __add__ __sub__ __rsub__ __mul__ __div__ __floordiv__ __pow__ __matmul__ __eq__ __ne__ __lt__
    __le__ __gt__ __ge__
    """
    # dtypes
    """
    bfloat16 bool double float half int long short to type_as view_as_complex view_as_real
    """
    # reductions, scans and orders
    """
    all amax amin aminmax any argmax argmin argsort bucketize count_nonzero cummax
    cummin cumprod cumsum cumulative_trapezoid diff dist gradient kthvalue log_softmax logcumsumexp
    logsumexp max mean median min mode msort nanmean nanmedian nanquantile nansum norm prod quantile
    renorm softmax softmin sort std std_mean sum sum_to_size topk trapezoid trapz var var_mean
    """
    # shapes and places
    """
    adjoint atleast_1d atleast_2d atleast_3d block_diag broadcast_tensors broadcast_to cat
    channel_shuffle chunk column_stack concat concatenate constant_pad_nd diag diag_embed diagflat
    diagonal diagonal_scatter dsplit dstack embedding expand expand_as flatten flip fliplr flipud
    fold gather hsplit hstack index_add index_copy index_fill index_reduce index_select meshgrid
    moveaxis movedim narrow one_hot pad permute pixel_shuffle pixel_unshuffle ravel repeat reshape
    reshape_as roll rot90 row_stack scatter scatter_add scatter_reduce select select_scatter
    slice_scatter split split_with_sizes squeeze stack swapaxes swapdims t take take_along_dim
    tensor_split tile transpose tril triu unbind unflatten unfold unsqueeze view view_as vsplit
    vstack
    """
    # products and linear algebra
    """
    addbmm addmm addmv addr baddbmm bilinear bmm cdist chain_matmul cholesky cholesky_ex
    cond cosine_similarity cross det dot eigh eigvalsh einsum ger inner inv
    inv_ex inverse kron linear logdet matmul matrix_exp matrix_norm matrix_power matrix_rank mm
    multi_dot mv outer pairwise_distance pdist pinv pinverse qr slogdet solve solve_ex
    solve_triangular svd svdvals tensordot tensorinv tensorsolve trace vander vdot vecdot
    vector_norm
    """
    # layers and losses without weights of their own
    """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
    adaptive_max_pool1d_with_indices adaptive_max_pool2d adaptive_max_pool2d_with_indices
    adaptive_max_pool3d adaptive_max_pool3d_with_indices affine_grid alpha_dropout avg_pool1d
    avg_pool2d avg_pool3d bernoulli binary_cross_entropy binary_cross_entropy_with_logits conv1d
    conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d cosine_embedding_loss
    cross_entropy dropout dropout1d dropout2d dropout3d feature_alpha_dropout feature_dropout
    gaussian_nll_loss grid_sample group_norm hinge_embedding_loss huber_loss instance_norm
    interpolate kl_div l1_loss layer_norm local_response_norm lp_pool1d lp_pool2d lp_pool3d
    margin_ranking_loss max_pool1d max_pool1d_with_indices max_pool2d max_pool2d_with_indices
    max_pool3d max_pool3d_with_indices mse_loss multilabel_soft_margin_loss nll_loss normalize
    poisson_nll_loss rms_norm scaled_dot_product_attention smooth_l1_loss soft_margin_loss
    triplet_margin_loss
    """
    # torch.fft, torch.special
    """
    fft fft2 fftn fftshift hfft hfft2 hfftn ifft ifft2 ifftn ifftshift ihfft ihfft2 ihfftn irfft
    irfft2 irfftn rfft rfft2 rfftn stft airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 entr erfcx
    expit gammainc gammaincc gammaln i0e i1 i1e log_ndtr modified_bessel_i0 modified_bessel_i1
    modified_bessel_k0 modified_bessel_k1 multigammaln ndtr ndtri psi scaled_modified_bessel_k0
    scaled_modified_bessel_k1 spherical_bessel_j0 xlog1py zeta
    """.split()
)
# Superseded by those of torch.linalg.
_NOT = {"torch.qr", "torch.svd", "torch.Tensor.qr", "torch.Tensor.svd"}


@functools.cache
def torch_functions():
    """Dict of the torch functions that may be steps of a saved model, by qualified name.

    They are those that torch lets a tensor-like type override, as symbols do, and whose name is in
    the list above.

    Example:

    >>> from torchkeras.models.torch_functions import torch_functions
    >>> "torch.relu" in torch_functions(), "torch.Tensor.backward" in torch_functions()
    (True, False)
    """
    found = {}
    for functions in torch.overrides.get_overridable_functions().values():
        for function in functions:
            name = torch.overrides.resolve_name(function)
            if name and name.rpartition(".")[2] in _NAMES and name not in _NOT:
                found.setdefault(name, function)
    return found


@functools.cache
def _names():
    return {function: name for name, function in torch_functions().items()}


def torch_name(function):
    """Qualified name of a torch function, such as `"torch.relu"`.

    Raises:
        ValueError: it may not be a step of a saved model.

    Example:

    >>> from torchkeras.models.torch_functions import torch_name
    >>> torch_name(torch.relu)
    'torch.relu'
    """
    name = _names().get(function)
    if name is None:
        raise ValueError(
            "Only torch's own functions from tensors to new tensors can be saved as steps of a "
            f"model. Received: {torch.overrides.resolve_name(function) or function!r}. Put it "
            "into a layer, or use a function of keras.ops."
        )
    return name


def torch_function(name):
    """The torch function of a qualified name.

    Raises:
        ValueError: a file may not name it.

    Example:

    >>> from torchkeras.models.torch_functions import torch_function
    >>> torch_function("torch.relu") is torch.relu
    True
    """
    found = torch_functions().get(name) if isinstance(name, str) else None
    if found is None:
        raise ValueError(
            "A config may name torch's own functions from tensors to new tensors as steps of a "
            f"model. Received: function={name!r}, which is none of them. Put it into a layer."
        )
    return found
