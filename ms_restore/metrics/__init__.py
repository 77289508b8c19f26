"""PSNR and SSIM, and the named protocols under which figures are published."""
