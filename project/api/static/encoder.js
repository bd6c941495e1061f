// A worker: encodes a picture as JPEG off the page's thread, and gives it back, or { error }.

let canvas = null;

onmessage = async ({ data: { bitmap, quality } }) => {
  try {
    const { width, height } = bitmap;
    if (canvas?.width !== width || canvas?.height !== height) canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
    const blob = await canvas.convertToBlob({ type: "image/jpeg", quality });
    const bytes = await blob.arrayBuffer();
    postMessage({ bytes, bitmap }, [bytes, bitmap]);
  } catch (error) {
    postMessage({ error: String(error) });
  }
};
