// Builds the page into dist/build/, the folder under which Grafana's components look for icons.
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  base: "/build/",
  plugins: [react()],
  publicDir: "node_modules/@grafana/ui/dist/public",
  build: {
    outDir: "dist/build",
    emptyOutDir: true,
    chunkSizeWarningLimit: 20_000, // one page, read from this machine
    reportCompressedSize: false,
  },
});
