"""PSNR and SSIM, and the named protocols under which results are published."""
