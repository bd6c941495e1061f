// A worker: encodes pictures as JPEG off the page's thread, and gives them back.

let canvas = null;

onmessage = async ({ data: { id, bitmap, quality } }) => {
  const { width, height } = bitmap;
  if (canvas?.width !== width || canvas?.height !== height) canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality });
  const bytes = await blob.arrayBuffer();
  postMessage({ id, bytes, bitmap }, [bytes, bitmap]);
};
